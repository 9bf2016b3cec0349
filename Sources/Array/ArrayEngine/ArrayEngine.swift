import ArrayStore
import MemberIO
import Members
import Platform
import RAID
import Statistics

/// Open arrays that are being served, and the lanes that carry out requests to them. What is in front of it (the RAID
/// card) knows requests and their outcomes, and nothing of members.
///
/// A thread uses the engine by a lane of its own: it fills entries of `requests` and gathers them (`submit`), has them
/// planned (`plan`) and their member I/O started with one system call (`start`), and takes outcomes (`reap`, then
/// `completeNext` for each array that has any). Requests that end are in `EngineLane.finished` after each of these.
/// Lanes run in parallel; they share each array's planner, behind a lock that is never held across I/O.
package final class ArrayEngine: @unchecked Sendable {
    // SAFETY: everything but `lanes` never changes; `lanes` is touched under `lock`.
    /// The arrays, in their order.
    package let arrays: [LiveArray]
    /// The requests, by tag. A request belongs to the caller except between `submit` and its end.
    package let requests: UnsafeMutablePointer<ArrayRequest>
    let directReads: DirectReads
    /// The most lanes.
    package let laneCount: Int
    private let memberEngine: MemberEngineKind
    private let counters: MemberCounters
    private let lock = Lock()
    /// By number; nil for a number that is free.
    private var lanes: [EngineLane?]

    /// - Parameters:
    ///   - arrays: open and locked; they stay so while the engine exists.
    ///   - memberEngine: how lanes execute member I/O.
    ///   - laneCount: the most lanes.
    ///   - requestCapacity: tags of requests are below it.
    /// - Throws: when the process has no address space for the members' space maps.
    package init(
        arrays: [OpenedArray], memberEngine: MemberEngineKind, laneCount: Int, requestCapacity: Int
    ) throws(OSError) {
        var live: [LiveArray] = []
        var fileBase = 0
        for array in arrays {
            let new = try LiveArray(array, index: live.count, fileBase: fileBase, requestCapacity: requestCapacity)
            fileBase += new.places.count
            live.append(new)
        }
        assert(live.indices.allSatisfy { live[$0].index == $0 }, "an array's index is not its position")
        self.arrays = live
        self.memberEngine = memberEngine
        requests = .allocate(capacity: requestCapacity)
        requests.initialize(repeating: ArrayRequest(.flush, tag: 0), count: requestCapacity)
        directReads = DirectReads(capacity: requestCapacity)
        counters = MemberCounters(laneCount: laneCount, fileCount: fileBase)
        self.laneCount = laneCount
        lanes = Array(repeating: nil, count: laneCount)
    }

    deinit { requests.deallocate() }

    /// Makes a lane. Any thread.
    /// - Throws: when all lanes are in use, or the system refuses what a lane needs.
    package func makeLane() throws(OSError) -> EngineLane {
        let members = try MemberLane(engine: memberEngine, places: arrays.flatMap(\.places))
        return try lock.withLock { () throws(OSError) in
            guard let number = lanes.firstIndex(where: { $0 == nil }) else {
                throw OSError(code: 12, doing: "make another lane: all \(laneCount) are in use")
            }
            members.count(in: counters, lane: number)
            let lane = EngineLane(of: self, number: number, members: members)
            assert(!lane.hasOutstandingIO, "a lane begins with I/O under way")
            lanes[number] = lane
            return lane
        }
    }

    /// Ends the use of a lane, which has no I/O under way. Any thread.
    package func release(_ lane: EngineLane) {
        precondition(!lane.hasOutstandingIO, "a lane was released with I/O outstanding")
        lock.withLock {
            assert(lanes[lane.number] === lane, "the lane was released before")
            lanes[lane.number] = nil
        }
    }

    /// The number of requests that all present lanes have taken. Any thread.
    var requestCount: UInt64 { lock.withLock { lanes.reduce(0) { $0 &+ ($1?.requestCount ?? 0) } } }

    /// An array's state, and the counters of its members. Any thread.
    package func snapshot(array index: Int) -> ArraySnapshot {
        let array = arrays[index]
        var snapshot = array.snapshot()
        let correctedReads = array.correctedReads
        snapshot.members = array.geometry.roles.map { role in
            var member = counters.snapshot(file: array.fileBase + Place(role).index, role: role.index)
            member.correctedReadErrorCount = correctedReads[role]
            return member
        }
        return snapshot
    }
}
