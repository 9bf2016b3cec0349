import RAID
import Statistics

/// How a member that was in use is gone.
package enum MemberLoss: Sendable, Equatable {
    /// Every operation on it fails. What comes after "it is".
    case unreachable(String)
    /// It can be read and written until it is closed, and will not be found when the array is opened again: its file was
    /// deleted, or has another one in its place. What comes after "its file".
    case unlinked(String)

    /// What people are told.
    var text: String {
        switch self {
        case .unreachable(let reason): "it is \(reason)"
        case .unlinked(let reason): "its file \(reason)"
        }
    }
}

/// Members that go away while nobody asks anything of them.
extension OpenedArray {
    /// Looks where the members are. A member whose file was deleted counts as failed as long as the array can do without it:
    /// what is written to such a file is gone with the server, so the array's redundancy would end unnoticed at the next
    /// stop. Where the array cannot do without it, the file is the only copy of data, and goes on being used.
    ///
    /// Any thread; not in a hurry, since a file system may take its time.
    /// - Returns: roles, and the replacement's place, of members that have to be failed.
    package func lostPlaces() -> [Int] {
        let (present, replacement) = lock.withLock {
            (
                current.enumerated().compactMap { role, member in member.map { (role, $0.store) } },
                self.replacement?.member.store
            )
        }
        let members = present + (replacement.map { [(geometry.replacementPlace, $0)] } ?? [])
        return members.filter { place, store in isToFail(place, store, store.loss) }.map { $0.0 }
    }

    /// Takes note of what was found out about a member.
    private func isToFail(_ place: Int, _ store: any PlacedMember, _ loss: MemberLoss?) -> Bool {
        let (isNews, isToFail) = lock.withLock {
            let known = losses.updateValue(loss?.text, forKey: ObjectIdentifier(store)) ?? nil
            let isInUse = place == geometry.replacementPlace || !failedRoles.contains(place)
            let isNeeded =
                geometry.level.redundancy == 0
                || healthUnlocked != .clean && recovering?.role != place
                    && place != geometry.replacementPlace
            let isToFail =
                switch loss {
                case nil: false
                case .unreachable: isInUse
                case .unlinked: isInUse && !isNeeded
                }
            return (loss != nil && known == nil && isInUse, isToFail)
        }
        if isNews, case .unlinked(let reason) = loss { reportUnlinked(place, store, reason, isNeeded: !isToFail) }
        return isToFail
    }

    private func reportUnlinked(_ place: Int, _ store: any PlacedMember, _ reason: String, isNeeded: Bool) {
        surroundings.report(
            "the file of \(place == geometry.replacementPlace ? "a replacement" : "member \(place)") of \(name), "
                + "\(store.path), \(reason)"
                + (isNeeded
                    ? "; \(name) cannot do without it and goes on with it until the server stops: copy the data before that"
                    : ""))
    }

    /// What is known of a member that is gone, for people; nil for one that is there. Under `lock`.
    func lossText(_ store: any PlacedMember) -> String? { losses[ObjectIdentifier(store)] ?? nil }
}
