import MemberIO
import RAID
import Statistics

/// How a member that was in use is gone.
package enum MemberLoss: Sendable, Equatable {
    /// Every operation on it fails. The text fits after "it is".
    case unreachable(String)
    /// It can be read and written until it is closed, but will not be found when the array is opened again: its file
    /// was deleted, moved or replaced. The text fits after "its file".
    case unlinked(String)

    /// The text for the user.
    var text: String {
        switch self {
        case .unreachable(let reason): "it is \(reason)"
        case .unlinked(let reason): "its file \(reason)"
        }
    }
}

/// A member that is gone, and what the user was told about it.
struct KnownLoss: Sendable {
    var loss: MemberLoss
    /// Whether the user was told that the array cannot do without it.
    var isToldNeeded: Bool
}

/// Detection of members that go away while nobody uses them.
extension OpenedArray {
    /// Checks whether the members are still there. A member whose file was deleted counts as failed as long as the
    /// array can do without it: what is written to that file is gone when the server stops, which would end the array's
    /// redundancy unnoticed. Where the array cannot do without it, the file holds the only copy of data and stays in
    /// use.
    ///
    /// Any thread. May block, since a file system may take its time.
    /// - Returns: the places of members that have to be failed. After failing one, the caller
    ///   checks each other again with `isLost`.
    package func lostPlaces() -> [Place] {
        let found = lock.withLock { placedStores }.map { (place: $0.place, store: $0.store, loss: $0.store.loss) }
        var news: [(place: Place, store: any PlacedMember, reason: String, isNeeded: Bool)] = []
        let lost = lock.withLock {
            // A new store may get the identity of one that is gone.
            let known = Set(allMembers.map { ObjectIdentifier($0.store) })
            losses = losses.filter { known.contains($0.key) }
            return found.filter { place, store, loss in
                guard known.contains(ObjectIdentifier(store)) else { return false }
                let before = losses.removeValue(forKey: ObjectIdentifier(store))
                guard let loss else { return false }
                let isNeeded = membership.isNeeded(place: place)
                losses[ObjectIdentifier(store)] = KnownLoss(
                    loss: loss, isToldNeeded: isNeeded || before?.isToldNeeded ?? false)
                let isNews = before.map { isNeeded && !$0.isToldNeeded } ?? true
                if isNews, membership.isInUse(place: place), case .unlinked(let reason) = loss {
                    news.append((place, store, reason, isNeeded))
                }
                return isToFail(place, loss)
            }
        }
        for (place, store, reason, isNeeded) in news { reportUnlinked(place, store, reason, isNeeded: isNeeded) }
        return lost.map(\.place)
    }

    /// Whether a member has to be failed according to the last `lostPlaces`. Does not look again, and so does not
    /// block.
    package func isLost(place: Place) -> Bool {
        lock.withLock {
            guard let store = placedStores.first(where: { $0.place == place })?.store,
                let known = losses[ObjectIdentifier(store)]
            else { return false }
            return isToFail(place, known.loss)
        }
    }

    /// The members that have a place. Under `lock`.
    private var placedStores: [(place: Place, store: any PlacedMember)] {
        membership.places.compactMap { place in member(at: place).map { (place, $0.store) } }
    }

    /// Under `lock`.
    private func isToFail(_ place: Place, _ loss: MemberLoss) -> Bool {
        switch loss {
        case .unreachable: membership.isInUse(place: place)
        case .unlinked: membership.isInUse(place: place) && !membership.isNeeded(place: place)
        }
    }

    private func reportUnlinked(_ place: Place, _ store: any PlacedMember, _ reason: String, isNeeded: Bool) {
        environment.report(
            "the file of \(place == geometry.replacementPlace ? "a replacement" : "member \(place)") of \(name), "
                + "\(store.path), \(reason)"
                + (isNeeded
                    ? "; \(name) cannot do without it and goes on with it until the server stops: copy the data before that"
                    : ""),
            .warning)
    }

    /// What is known about a member that is gone, for the user; nil for one that is there. Under `lock`.
    func lossText(_ store: any PlacedMember) -> String? { losses[ObjectIdentifier(store)]?.loss.text }
}
