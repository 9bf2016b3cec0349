import ArrayStore
import Platform
import RAID

/// Maintenance that users ask for while the arrays are served. Any thread.
extension Machine {
    /// A change of an array that was made, or has begun.
    package struct Change: Sendable {
        /// The array's name.
        package let array: String
        /// What was done: one sentence for people.
        package let message: String
    }

    /// Begins a check or a repair of the array in a directory.
    package func begin(_ job: MaintenanceSchedule.Job, directory: String) throws -> Change {
        let target = try target(directory)
        _ = try engine!.arrays[target].begin(job)
        return Change(
            array: arrays[target].name, message: "a \(job.rawValue) of \(arrays[target].name) is under way")
    }

    /// Ends the check, the repair or the replacement that is under way.
    package func cancelJob(directory: String) throws -> Change {
        let target = try target(directory)
        try engine!.arrays[target].cancelJob()
        return Change(array: arrays[target].name, message: "the job of \(arrays[target].name) ends")
    }

    /// Takes a member out of service.
    /// - Parameter member: a role, or a file's name.
    package func fail(_ member: String, directory: String) throws -> Change {
        let target = try target(directory)
        let array = arrays[target]
        guard let state = array.memberStates.first(where: { matches($0, member) }) else {
            throw OperationError("the array \(array.name) has no member \(member); nbdext status shows its members")
        }
        guard let role = state.role else {
            throw OperationError("\(member) is not in use; let go of it with nbdext remove")
        }
        if case .replacing = state.condition {
            throw OperationError("\(member) takes the place of member \(role); end that first: nbdext cancel")
        }
        let hasSpare = array.hasSpare || array.replacementState?.role == role
        try engine!.arrays[target].fail(role: role)
        return Change(
            array: array.name,
            message: "member \(role) of \(array.name) is out of service; "
                + (hasSpare ? "it is being rebuilt onto a spare" : "add another one: nbdext add"))
    }

    /// Removes a failed member or a spare from the array.
    /// - Parameter member: a role, or a file's name.
    package func remove(_ member: String, directory: String) throws -> Change {
        let target = try target(directory)
        let path = try engine!.arrays[target].remove { matches($0, member) }
        return Change(
            array: arrays[target].name, message: "\(path) is not used by \(arrays[target].name) any more")
    }

    /// Adds a file in the array's directory, or an export: as a spare, or as the member that it was before. If the
    /// array lacks a member, the new one is brought up to date.
    package func add(_ name: String, directory: String) throws -> Change {
        let target = try target(directory)
        let array = arrays[target]
        guard array.geometry.level == .raid5 else {
            throw OperationError("\(array.name) is a RAID 0 array: nothing can be rebuilt onto a spare")
        }
        guard !array.isReadOnly else {
            throw OperationError("\(array.name) is served read-only; serve it without --read-only")
        }
        if array.memberStates.contains(where: { $0.condition == .failed && Self.isNamed($0, name) }) {
            _ = try engine!.arrays[target].remove { Self.isNamed($0, name) }
        }
        let addition = try ArrayStore.add(named: name, to: array)
        let isNeeded = !array.failedMembers.isEmpty
        let regions = engine!.arrays[target].writtenRegions
        engine!.arrays[target].lookForSpare()
        let what =
            switch addition {
            case .returning: "it is re-added, \(regions.count) of \(regions.total) regions differ"
            case .spare where isNeeded: "the missing member is rebuilt onto it, all of it"
            case .spare: "it is a spare"
            }
        return Change(array: array.name, message: "\(name) is a member of \(array.name): \(what)")
    }

    /// Copies a member onto a spare, which then takes its place.
    /// - Parameters:
    ///   - member: a role, or a file's name.
    ///   - name: a file in the array's directory, which becomes a spare first; nil for any spare there is.
    package func replace(_ member: String, by name: String?, directory: String) throws -> Change {
        let target = try target(directory)
        let array = arrays[target]
        try engine!.arrays[target].checkMayReplace()
        guard let state = array.memberStates.first(where: { matches($0, member) }), let role = state.role else {
            throw OperationError("the array \(array.name) has no member \(member); nbdext status shows its members")
        }
        let path = try name.map { name in
            func spare() -> OpenedArray.MemberState? {
                array.memberStates.first { $0.condition == .spare && Self.isNamed($0, name) }
            }
            if spare() == nil { _ = try ArrayStore.add(named: name, to: array) }
            guard let path = spare()?.path else {
                throw OperationError("\(name) cannot be a spare of \(array.name); name another file")
            }
            return path
        }
        try engine!.arrays[target].replace(role: role, by: path)
        return Change(
            array: array.name, message: "member \(role) of \(array.name) is being replaced; it serves meanwhile")
    }

    private func matches(_ state: OpenedArray.MemberState, _ member: String) -> Bool {
        if let role = Int(member) { return state.role.map { Int($0.rawValue) } == role }
        return Self.isNamed(state, member)
    }

    /// Whether a name is that of the member's file in the directory, or the member's URI.
    private static func isNamed(_ state: OpenedArray.MemberState, _ name: String) -> Bool {
        state.path == name || state.file?.split(separator: "/").last.map(String.init) == name
    }

    func target(_ directory: String) throws -> Int {
        guard let index = arrays.firstIndex(where: { Directory.isSame($0.directory, directory) }) else {
            throw OperationError("this server does not serve an array in \(directory)")
        }
        return index
    }
}
