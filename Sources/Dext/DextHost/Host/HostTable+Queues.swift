import CDextABI
import Platform
import SCSIControllerDriverKit

extension HostTable {
    // MARK: Queues

    static func addQueues(to table: Table) {
        table.pointee.queue_create = { name, options, priority, skin, result in
            var queue: IODispatchQueue?
            let status = IODispatchQueue.Create(text(name), options, priority, &queue)
            return HostTable.give(queue, skin, result, status)
        }
        table.pointee.queue_name = { object($0, as: IODispatchQueue.self)!.cName }
        table.pointee.queue_is_current = { withObject($0, as: IODispatchQueue.self) { $0.OnQueue() } ?? false }
        table.pointee.queue_sync = { queue, activity, block in
            guard let queue = object(queue, as: IODispatchQueue.self), let caller = block else { return false }
            // SAFETY: the caller's frame outlives the call, and the block runs inside it only.
            nonisolated(unsafe) let lent = caller
            return queue.runSync(named: activity) { LoadedBundle.loaded?.driver.pointee.run_block(lent) }
        }
        table.pointee.queue_async = { queue, activity, block in
            guard let block = HandedBlock(block), let queue = object(queue, as: IODispatchQueue.self) else { return }
            queue.runAsync(named: activity) { block.run() }
        }
        table.pointee.queue_cancel = { queue, block in
            let block = HandedBlock(block)
            guard let queue = object(queue, as: IODispatchQueue.self) else { return kIOReturnBadArgument }
            return queue.Cancel { block?.run() }
        }
        table.pointee.queue_sleep = { queue, event, deadline in
            guard let queue = object(queue, as: IODispatchQueue.self), let event else { return kIOReturnBadArgument }
            return queue.sleep(event, until: deadline)
        }
        table.pointee.queue_wakeup = { queue, event, all in
            guard let queue = object(queue, as: IODispatchQueue.self), let event else { return kIOReturnBadArgument }
            return queue.wake(event, all: all)
        }
        table.pointee.set_queue = { owner, name, queue in
            guard let queue = object(queue, as: IODispatchQueue.self) else { return kIOReturnBadArgument }
            if let service = object(owner, as: IOService.self) { return service.SetDispatchQueue(text(name), queue) }
            guard let other = object(owner, as: NamedObject.self) else { return kIOReturnUnsupported }
            if let old = other.setQueue(text(name), queue) { giveBack(old) }
            return kIOReturnSuccess
        }
        table.pointee.queue_named = { owner, name in
            let queue =
                if let service = object(owner, as: IOService.self) {
                    service.dispatchQueue(named: text(name))
                } else {
                    object(owner, as: NamedObject.self)?.queue(named: text(name))
                }
            return queue.map { handle(of: $0) }
        }
    }

    // MARK: Actions

    static func addActions(to table: Table) {
        table.pointee.make_action = { skin, activity, target in
            let target = object(target, as: OSObject.self).map { ActionTarget($0) }
            let action = OSAction(timedHandler: { action, first, second in
                withExtendedLifetime(target) {
                    guard let skin = action.skin else { return }
                    LoadedBundle.loaded?.driver.pointee.fire_action(OpaquePointer(skin), first, second)
                }
            })
            if let skin { _ = action.setSkin(UnsafeMutableRawPointer(skin)) }
            return handle(of: action)
        }
        table.pointee.action_cancel = { action, block in
            let block = HandedBlock(block)
            guard let action = object(action, as: OSAction.self) else { return kIOReturnBadArgument }
            return action.Cancel { block?.run() }
        }
    }

    // MARK: Sources

    static func addSources(to table: Table) {
        table.pointee.interrupt_source_create = { provider, index, queue, skin, result in
            guard let provider = object(provider, as: IOPCIDevice.self),
                let queue = object(queue, as: IODispatchQueue.self)
            else { return kIOReturnUnsupported }
            var source: IOInterruptDispatchSource?
            let status = IOInterruptDispatchSource.Create(provider, index, queue, &source)
            return HostTable.give(source, skin, result, status)
        }
        table.pointee.interrupt_type = { provider, index, type in
            guard object(provider, as: IOPCIDevice.self) != nil, index == 0 else { return kIOReturnNotFound }
            // A line of its own, which stays asserted until the driver has seen to the card.
            type?.pointee = 1
            return kIOReturnSuccess
        }
        table.pointee.last_interrupt = { source, count, time in
            guard let source = object(source, as: IOInterruptDispatchSource.self), let count, let time else {
                return kIOReturnBadArgument
            }
            (count.pointee, time.pointee) = source.lastInterrupt
            return kIOReturnSuccess
        }
        table.pointee.timer_source_create = { queue, skin, result in
            guard let queue = object(queue, as: IODispatchQueue.self) else { return kIOReturnBadArgument }
            var source: IOTimerDispatchSource?
            let status = IOTimerDispatchSource.Create(queue, &source)
            return HostTable.give(source, skin, result, status)
        }
        table.pointee.timer_wake = { source, deadline, leeway in
            object(source, as: IOTimerDispatchSource.self)?.WakeAtTime(kIOTimerClockMonotonicRaw, deadline, leeway)
                ?? kIOReturnBadArgument
        }
        table.pointee.source_set_action = { source, action in
            guard let action = object(action, as: OSAction.self) else { return kIOReturnBadArgument }
            return switch object(source, as: IODispatchSource.self) {
            case let source as IOInterruptDispatchSource: source.SetHandler(action)
            case let source as IOTimerDispatchSource: source.SetHandler(action)
            default: kIOReturnBadArgument
            }
        }
        table.pointee.source_enable = { source, enable, block in
            let block = HandedBlock(block)
            guard let source = object(source, as: IODispatchSource.self) else { return kIOReturnBadArgument }
            return source.SetEnableWithCompletion(enable, HandedBlock.closure(block))
        }
        table.pointee.source_cancel = { source, block in
            let block = HandedBlock(block)
            guard let source = object(source, as: IODispatchSource.self) else { return kIOReturnBadArgument }
            return source.Cancel(HandedBlock.closure(block))
        }
    }
}
