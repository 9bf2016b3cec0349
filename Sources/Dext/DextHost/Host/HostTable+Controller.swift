import CDextABI
import SCSIControllerDriverKit

extension HostTable {
    // MARK: Properties of the controller and of targets

    static func addController(to table: Table) {
        table.pointee.report_hba_constraints = { controller, bytes, count in
            HostTable.call(controller, HostTable.dictionary(bytes, count)) { $0.UserReportHBAConstraints($1) }
        }
        table.pointee.set_hba_properties = { controller, bytes, count in
            HostTable.call(controller, HostTable.dictionary(bytes, count)) { $0.UserSetHBAProperties($1) }
        }
        table.pointee.remove_hba_properties = { controller, bytes, count in
            HostTable.call(controller, HostTable.array(bytes, count)) { $0.UserRemoveHBAProperties($1) }
        }
        table.pointee.set_target_properties = { controller, target, bytes, count in
            HostTable.call(controller, HostTable.dictionary(bytes, count)) { $0.UserSetTargetProperties(target, $1) }
        }
        table.pointee.remove_target_properties = { controller, target, bytes, count in
            HostTable.call(controller, HostTable.array(bytes, count)) { $0.UserRemoveTargetProperties(target, $1) }
        }
        table.pointee.media_parameters_have_changed = {
            object($0, as: BundleDriver.self)?.UserCallMediaParametersHaveChanged() ?? kIOReturnBadArgument
        }
    }

    /// Calls the controller with what the bundle has passed, if both are what they should be.
    private static func call<Argument>(
        _ controller: OpaquePointer?, _ argument: Argument?, _ body: (BundleDriver, Argument) -> kern_return_t
    ) -> kern_return_t {
        guard let driver = object(controller, as: BundleDriver.self), let argument else { return kIOReturnBadArgument }
        return body(driver, argument)
    }

    // MARK: Targets

    static func addTargets(to table: Table) {
        table.pointee.create_target = { controller, target, bytes, count in
            HostTable.call(controller, HostTable.dictionary(bytes, count)) { $0.UserCreateTargetForID(target, $1) }
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
