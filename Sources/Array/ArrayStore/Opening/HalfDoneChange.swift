import MDFormat
import RAID

/// A change of an array's shape by md that has reached only some members because of a crash.
///
/// mdadm does not assemble an array whose members disagree about size, level, layout, chunk or number of members. It
/// does assemble one whose members disagree about the end of a reshape, and then takes data from the wrong offset on
/// members that were not told. So this finishes the change or, where nothing depends on it yet, undoes it. The
/// superblocks are written only when the array's parity is right: a crash before that leaves the members as they were
/// found.
struct HalfDoneChange {
    /// All members, with the superblocks that they get.
    private(set) var members: [ArrayMember]
    /// The members whose superblocks have to be written.
    private(set) var changed: [ArrayMember] = []
    /// Where doubtful parity begins, in bytes of the members' data: parity from there on was perhaps never made. Nil
    /// for none.
    private(set) var doubtFrom: UInt64?
    /// A message for the user about what is done; nil when there is nothing to do.
    private(set) var text: String?

    private let newest: MDSuperblock
    private let directory: String
    /// Indices of members that agree with `newest` about the shape, and of members that do not and are one change
    /// behind. All other members are left out or refused later, like any that are out of date.
    private let told: [Int]
    private let untold: [Int]

    /// - Parameters:
    ///   - found: the members of one array.
    ///   - newest: the superblock with the newest state.
    ///   - directory: the member directory's name, for messages.
    /// - Throws: when the change can be neither finished nor undone.
    init(_ found: [ArrayMember], newest: MDSuperblock, directory: String) throws(ArrayStoreError) {
        members = found
        self.newest = newest
        self.directory = directory
        func agrees(_ superblock: MDSuperblock) -> Bool {
            superblock.hasSameDimensions(as: newest) && (superblock.reshape == nil) == (newest.reshape == nil)
        }
        told = found.indices.filter { agrees(found[$0].superblock) }
        untold = found.indices.filter {
            !agrees(found[$0].superblock) && found[$0].superblock.events == newest.events &- 1
        }
        guard !untold.isEmpty else { return }
        guard finishReshape() || undoReshape() || changeSize() else { throw refusal }
    }

    /// The newest superblock among the members that were not told.
    private var before: MDSuperblock? {
        untold.map { members[$0].superblock }.filter { $0.role < MDSuperblock.firstSpecialRole }
            .max { $0.events < $1.events }
    }

    private mutating func set(_ superblock: MDSuperblock, _ index: Int) {
        members[index] = ArrayMember(store: members[index].store, superblock: superblock)
        changed.append(members[index])
    }

    /// Finishes a reshape that some members record as done: all data is in its new place then.
    private mutating func finishReshape() -> Bool {
        guard newest.reshape == nil else { return false }
        let finished = untold.map { members[$0].superblock.withReshapeFinished }
        guard finished.allSatisfy({ $0.hasSameDimensions(as: newest) }) else { return false }
        for (index, superblock) in zip(untold, finished) { set(superblock, index) }
        text = "the end of its reshape was not recorded on \(names(untold)), and is now"
        return true
    }

    /// Undoes a reshape of whose beginning some members do not know. Data was moved only into the room in front of the
    /// data then.
    private mutating func undoReshape() -> Bool {
        guard untold.allSatisfy({ members[$0].superblock.reshape == nil }) else { return false }
        // If all members with a role know, the new member is the one that does not.
        let shape = before ?? members[untold[0]].superblock
        let canBeUndone = told.allSatisfy { index in
            let superblock = members[index].superblock
            guard let reshape = superblock.reshape else { return false }
            return reshape.position == 0 && reshape.addedMemberCount > 0 && reshape.dataOffsetChange < 0
                && !superblock.features.contains(.reshapeBackwards)
                && superblock.withReshapeUndone.hasSameDimensions(as: shape)
        }
        guard canBeUndone else { return false }
        for index in told {
            var superblock = members[index].superblock.withReshapeUndone
            if let before {
                superblock.takeState(of: before)
            } else {
                superblock.removeRoles(from: shape.memberCount)
                // One event behind, so that members still to be undone are recognised after a crash.
                superblock.events -= 1
            }
            set(superblock, index)
        }
        text = "the begin of its reshape was not recorded on \(names(untold)); nothing was moved yet, and it is undone"
        return true
    }

    /// Makes the size the same where members disagree about it. Nothing used the new size before all members had it. So
    /// the larger size wins, which loses nothing.
    private mutating func changeSize() -> Bool {
        guard newest.reshape == nil, newest.level == RAIDLevel.raid5.rawValue, let before else { return false }
        let onlySize = untold.allSatisfy { index in
            var superblock = members[index].superblock
            superblock.usedSectors = newest.usedSectors
            return superblock.hasSameDimensions(as: newest)
        }
        guard onlySize, Set(untold.map { members[$0].superblock.usedSectors }).count == 1 else { return false }
        let hasGrown = before.usedSectors < newest.usedSectors
        let canGrow = untold.allSatisfy { index in
            let (store, superblock) = (members[index].store, members[index].superblock)
            let room = store.byteCount / 512
            return superblock.dataOffsetSectors < room && newest.usedSectors <= room - superblock.dataOffsetSectors
        }
        if hasGrown && canGrow {
            for index in untold {
                var superblock = members[index].superblock
                superblock.usedSectors = newest.usedSectors
                superblock.dataSectors = max(superblock.dataSectors, newest.usedSectors)
                set(superblock, index)
            }
            doubtFrom = min(before.usedSectors, newest.usedSectors) * 512
            text = "its new size was not recorded on \(names(untold)), and is now"
        } else {
            for index in told {
                var superblock = members[index].superblock
                superblock.usedSectors = before.usedSectors
                superblock.takeState(of: before)
                set(superblock, index)
            }
            text = "its new size was not recorded on \(names(untold)), and is undone"
        }
        return true
    }

    private func names(_ indices: [Int]) -> String {
        indices.map { members[$0].store.name }.joined(separator: ", ")
    }

    private var refusal: ArrayStoreError {
        let start =
            "a change of the shape of the array in \(directory) is on \(names(told)) and not on \(names(untold)), "
        let hasMoved = newest.reshape.map { $0.position != 0 } ?? true
        let redundant = newest.level >= 4
        if untold.count == 1 && newest.reshape == nil {
            return ArrayStoreError(
                "\(names(untold)) disagrees with the other members about the array's shape; move it away")
        }
        if untold.count == 1 && redundant {
            return ArrayStoreError(
                start
                    + "and mdadm does not assemble it: move \(names(untold)) away, assemble the others with mdadm, "
                    + "wait until /proc/mdstat shows no reshape, and add it as a new member")
        }
        if told.count == 1 && redundant && !hasMoved {
            return ArrayStoreError(
                start
                    + "and mdadm does not assemble it: nothing was moved yet, so move \(names(told)) away, assemble "
                    + "the others with mdadm, and add it as a new member")
        }
        return ArrayStoreError(
            start
                + "and neither mdadm nor nbdext can go on from there: keep copies of all members as they are, and ask "
                + "the developers of Linux md (linux-raid@vger.kernel.org) how to make the superblocks alike")
    }
}
