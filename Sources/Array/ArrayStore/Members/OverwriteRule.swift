import MDFormat
import MemberIO
import RAID

/// The rule for overwriting members.
///
/// Nothing overwrites the superblock of a member whose data the array may need. A member loses its identity when it
/// becomes a spare or is removed, and this rule decides whether that may happen. `OpenedArray.overwrite` applies it,
/// and is the only place that changes a member's identity.
struct OverwriteRule: Sendable, Equatable {
    /// What a member is at the moment.
    enum Part: CaseIterable, Sendable {
        /// It holds a role of the array or is taking one. Or its superblock belongs to such a member, which was copied
        /// or is also reached another way.
        case inUse
        /// Its superblock has a role, and the array has gone on without it.
        case former
        /// Its superblock knows of changes that the array has not seen.
        case newer
        case spare
        /// It has no superblock.
        case blank
        /// Its superblock belongs to another array.
        case foreign
    }

    /// Whether the array has lost more members than it can do without. Any of them may hold the only copy of data.
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
            "has changes that the served array has not, so it may be the better copy; stop the server and "
                + "look at nbdext status"
        case .former, .spare, .blank: nil
        }
    }
}

extension OpenedArray {
    /// Gives a member a new superblock, with an empty log and a bitmap of set bits, or no superblock at all. This is
    /// the only place where a member loses its identity. Under `lock`.
    /// - Parameter superblock: a spare's, or nil for none.
    /// - Throws: with nothing written, when the array may need the member as it is.
    func overwrite(_ store: any PlacedMember, with superblock: MDSuperblock?) throws(ArrayStoreError) {
        if let reason = OverwriteRule(isLost: membership.isLost).reasonToKeep(part(of: store)) {
            throw ArrayStoreError("\(store.name) \(reason)")
        }
        guard let superblock else {
            do throws(MemberStoreError) {
                try store.write(bytes: [UInt8](repeating: 0, count: 4), at: MDSuperblock.byteOffset)
                try store.flush()
            } catch { throw ArrayStoreError("cannot write the superblock of \(store.name): \(error)", cause: error) }
            return
        }
        let spare = ArrayMember(store: store, superblock: superblock)
        try writeProtection(to: spare)
        try spare.write(superblock)
    }

    /// What a member is, according to the members in service and its own superblock. Under `lock`.
    private func part(of store: any PlacedMember) -> OverwriteRule.Part {
        let places = membership.placesInUse
        if places.contains(where: { member(at: $0)?.store === store }) { return .inUse }
        guard let own = Self.superblock(of: store) else { return .blank }
        guard own.setUUID == uuid else { return .foreign }
        if places.contains(where: { records.superblock(at: $0)?.deviceUUID == own.deviceUUID }) { return .inUse }
        guard own.role < MDSuperblock.firstSpecialRole else { return .spare }
        return own.events > records.newest.events || hasSeenFailure(own) ? .newer : .former
    }

    /// Whether a member's superblock records the failure of a member that is now in service. That one was forced into
    /// service and has missed what this one has seen. Counts of events prove nothing here, since the array has gone on
    /// counting. Under `lock`.
    func hasSeenFailure(_ own: MDSuperblock) -> Bool {
        membership.roles.contains { role in
            guard membership.seats[role].standing == .inSync,
                let device = records.superblock(at: Place(role))?.deviceNumber
            else { return false }
            return own.role(ofDevice: device) == MDSuperblock.roleFaulty
        }
    }
}
