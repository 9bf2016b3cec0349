import MDFormat
import MemberIO
import RAID

/// Who may be overwritten.
///
/// Nothing overwrites the superblock of a member whose data the array may need. A member that becomes a spare, or nothing,
/// forgets what it was; this says whether it may. `OpenedArray.overwrite` asks, and nobody else makes a member forget.
struct OverwriteRule: Sendable, Equatable {
    /// What a member is at the moment.
    enum Part: CaseIterable, Sendable {
        /// It holds a role of the array that is served, or takes one; or its superblock is that of such a member, which is
        /// reached another way or was copied.
        case inUse
        /// Its superblock says that it had a role, and the array that is served has gone on without it.
        case former
        /// Its superblock knows of changes that the array which is served has not seen.
        case newer
        case spare
        /// It has no superblock.
        case blank
        /// Its superblock is another array's.
        case foreign
    }

    /// The array has lost more members than it can do without. What any of them holds may be all that is left.
    let isLost: Bool

    /// Why a member must be left as it is, as the rest of a sentence that begins with its name; nil when it may be
    /// overwritten.
    func reasonToKeep(_ part: Part) -> String? {
        switch part {
        case .inUse: "is in use, or is a copy of a member that is"
        case .foreign: "is a member of another array"
        case _ where isLost:
            "is left as it is, since the array has lost more members than it can do without and may need all of them"
        case .newer:
            "has seen changes that the array which is served has not: it may be the better one; stop the server and "
                + "look at nbdext status"
        case .former, .spare, .blank: nil
        }
    }
}

extension OpenedArray {
    /// Makes a member forget what it was: it gets another superblock, with an empty log and a bitmap that is all set, or
    /// none. This is the only place where that happens. Under `lock`.
    /// - Parameter superblock: a spare's, or nil.
    /// - Throws: with nothing written when the array may need the member as it is.
    func overwrite(_ store: any PlacedMember, with superblock: MDSuperblock?) throws(ArrayStoreError) {
        if let reason = OverwriteRule(isLost: isLost).reasonToKeep(part(of: store)) {
            throw ArrayStoreError("\(store.name) \(reason)")
        }
        guard let superblock else {
            do throws(MemberStoreError) {
                try store.write(bytes: [UInt8](repeating: 0, count: 4), at: MDSuperblock.byteOffset)
                try store.flush()
            } catch { throw ArrayStoreError("cannot write the superblock of \(store.name): \(error)", .memberIO) }
            return
        }
        let spare = ArrayMember(store: store, superblock: superblock)
        try writeProtection(to: spare)
        try spare.write(superblock)
    }

    /// What a member is, by what serves and by what it says itself. Under `lock`.
    private func part(of store: any PlacedMember) -> OverwriteRule.Part {
        let present = current.indices.filter { !failedRoles.contains($0) }
        let stores = present.compactMap { current[$0]?.store } + [replacement?.member.store].compactMap { $0 }
        if stores.contains(where: { $0 === store }) { return .inUse }
        guard let own = Self.superblock(of: store) else { return .blank }
        guard own.setUUID == uuid else { return .foreign }
        let superblocks = present.compactMap { self.superblocks[$0] } + [replacement?.superblock].compactMap { $0 }
        if superblocks.contains(where: { $0.deviceUUID == own.deviceUUID }) { return .inUse }
        guard own.role < MDSuperblock.firstSpecialRole else { return .spare }
        return own.events > newest.events || hasSeenFailure(own) ? .newer : .former
    }

    /// Whether a member's superblock says that a member failed which serves now: one that was forced to stand in, and has
    /// missed what this one has seen. Its count of events says nothing, since the array has gone on counting. Under `lock`.
    func hasSeenFailure(_ own: MDSuperblock) -> Bool {
        current.indices.contains { role in
            guard !failedRoles.contains(role), recovering?.role != role, let device = superblocks[role]?.deviceNumber
            else { return false }
            return own.role(ofDevice: device) == MDSuperblock.roleFaulty
        }
    }
}
