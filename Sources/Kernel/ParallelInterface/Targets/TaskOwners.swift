import Platform

/// The owners of tasks, by target and logical unit.
///
/// Threads: any.
final class TaskOwners: @unchecked Sendable {
    // SAFETY: `table` is touched only under `lock`.
    private let lock = Lock()
    /// A target's list ends with its highest unit.
    private var table: [[(any SCSITaskOwner)?]] = Array(repeating: [], count: TargetTable.capacity)

    func attach(_ owner: any SCSITaskOwner, at address: UnitAddress) {
        let (target, unit) = (Int(address.targetID), Int(address.logicalUnit))
        lock.withLock {
            while table[target].count <= unit { table[target].append(nil) }
            table[target][unit] = owner
        }
    }

    /// The owner of a logical unit's tasks; nil when there is none.
    subscript(address: UnitAddress) -> (any SCSITaskOwner)? {
        let (target, unit) = (Int(address.targetID), Int(address.logicalUnit))
        return lock.withLock { unit < table[target].count ? table[target][unit] : nil }
    }

    func removeAll() {
        let removed = lock.withLock {
            defer { table = Array(repeating: [], count: TargetTable.capacity) }
            return table
        }
        // An owner's end is work that needs no lock.
        _ = consume removed
    }
}
