import CDextABI
import SCSIControllerDriverKit

extension HostTable {
    // MARK: Properties of the controller and of targets

    static func addController(to table: Table) {
        table.pointee.report_hba_constraints = { controller, bytes, count in
            guard let driver = object(controller, as: BundleDriver.self),
                let values = HostTable.dictionary(bytes, count)
            else {
                return kIOReturnBadArgument
            }
            return driver.UserReportHBAConstraints(values)
        }
        table.pointee.set_hba_properties = { controller, bytes, count in
            guard let driver = object(controller, as: BundleDriver.self),
                let values = HostTable.dictionary(bytes, count)
            else {
                return kIOReturnBadArgument
            }
            return driver.UserSetHBAProperties(values)
        }
        table.pointee.remove_hba_properties = { controller, bytes, count in
            guard let driver = object(controller, as: BundleDriver.self), let names = HostTable.array(bytes, count)
            else {
                return kIOReturnBadArgument
            }
            return driver.UserRemoveHBAProperties(names)
        }
        table.pointee.set_target_properties = { controller, target, bytes, count in
            guard let driver = object(controller, as: BundleDriver.self),
                let values = HostTable.dictionary(bytes, count)
            else {
                return kIOReturnBadArgument
            }
            return driver.UserSetTargetProperties(target, values)
        }
        table.pointee.remove_target_properties = { controller, target, bytes, count in
            guard let driver = object(controller, as: BundleDriver.self), let names = HostTable.array(bytes, count)
            else {
                return kIOReturnBadArgument
            }
            return driver.UserRemoveTargetProperties(target, names)
        }
        table.pointee.media_parameters_have_changed = {
            object($0, as: BundleDriver.self)?.UserCallMediaParametersHaveChanged() ?? kIOReturnBadArgument
        }
    }

    // MARK: Targets

    static func addTargets(to table: Table) {
        table.pointee.create_target = { controller, target, bytes, count in
            guard let driver = object(controller, as: BundleDriver.self),
                let values = HostTable.dictionary(bytes, count)
            else {
                return kIOReturnBadArgument
            }
            return driver.UserCreateTargetForID(target, values)
        }
        table.pointee.destroy_target = {
            object($0, as: BundleDriver.self)?.UserDestroyTargetForID($1) ?? kIOReturnBadArgument
        }
        table.pointee.target_present = { controller, target, result in
            guard let driver = object(controller, as: BundleDriver.self), let result else {
                return kIOReturnBadArgument
            }
            return driver.UserTargetPresentForID(target, &result.pointee)
        }
        table.pointee.data_buffer = { controller, target, task, result in
            guard let driver = object(controller, as: BundleDriver.self), let result else {
                return kIOReturnBadArgument
            }
            return driver.dataBuffer(target, task, &result.pointee)
        }
    }

    // MARK: Completions, which are on the path of each task

    static func addCompletions(to table: Table) {
        table.pointee.parallel_task_completion = { controller, action, response in
            guard let response else { return }
            _ = withObject(controller, as: BundleDriver.self) { driver in
                withObject(action, as: OSAction.self) { driver.complete($0, response) }
            }
        }
        table.pointee.bundled_parallel_task_completion = { controller, action, indices, count in
            guard let indices else { return }
            _ = withObject(controller, as: BundleDriver.self) { driver in
                withObject(action, as: OSAction.self) { driver.BundledParallelTaskCompletion($0, indices, count) }
            }
        }
    }
}
