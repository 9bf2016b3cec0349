import EmulatedMachine
import ParallelInterface
import StackModel

extension Machine {
    /// Carries out a request of the control socket. Any thread.
    ///
    /// - Throws: the reason for which the request is refused, in one sentence.
    package func serve(_ request: ControlRequest) throws -> ControlReply {
        switch request {
        case .statistics: .statistics(total: statistics())
        case .status(let directory): .status(array: try status(directory: directory))
        case .registry:
            .registry(
                tree: RegistryTree(
                    profile: profile, reported: controller.reportedConstraints,
                    taskCount: controller.properties.taskCount, published: controller.registry.current,
                    addresses: addresses))
        case .powerCut: .done(message: powerCut(), array: nil)
        case .fail(let directory, let member): reply(try fail(member, directory: directory))
        case .remove(let directory, let member): reply(try remove(member, directory: directory))
        case .add(let directory, let member): reply(try add(member, directory: directory))
        case .replace(let directory, let member, let file): reply(try replace(member, by: file, directory: directory))
        case .check(let directory): reply(try begin(.check, directory: directory))
        case .repair(let directory): reply(try begin(.repair, directory: directory))
        case .cancel(let directory): reply(try cancelJob(directory: directory))
        }
    }

    private func reply(_ change: Change) -> ControlReply { .done(message: change.message, array: change.array) }
}
