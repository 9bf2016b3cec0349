/// Counts the operations and bytes that go to member files, by file and kind. Joined operations count as one.
///
/// Threads: as `LaneCounters`.
package final class MemberCounters: Sendable {
    private let kindCount = MemberOperationKind.allCases.count
    private let counters: LaneCounters

    /// - Parameters:
    ///   - laneCount: lanes at most.
    ///   - fileCount: member files of all arrays.
    package init(laneCount: Int, fileCount: Int) {
        counters = LaneCounters(laneCount: laneCount, wordCount: fileCount * kindCount * 2)
    }

    /// Counts an operation.
    ///
    /// - Parameters:
    ///   - file: the file's position among the files of all arrays.
    ///   - kind: what is done.
    ///   - byteCount: bytes that the operation covers.
    ///   - lane: of the calling thread.
    package func note(file: Int, kind: MemberOperationKind, byteCount: Int, lane: Int) {
        let base = (file &* kindCount &+ kind.rawValue) &* 2
        counters.add(1, to: base, lane: lane)
        counters.add(UInt64(byteCount), to: base &+ 1, lane: lane)
    }

    /// The totals of a file, as those of the member with a role. Any thread.
    package func snapshot(file: Int, role: Int) -> MemberSnapshot {
        var snapshot = MemberSnapshot(role: role)
        for kind in MemberOperationKind.allCases {
            let base = (file * kindCount + kind.rawValue) * 2
            snapshot.kinds[kind].operationCount = counters.total(of: base)
            snapshot.kinds[kind].byteCount = counters.total(of: base + 1)
        }
        return snapshot
    }
}
