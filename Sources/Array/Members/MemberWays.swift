import CLinux
import Glibc
import MemberIO
import Platform
import Synchronization

/// A lane's ways to its members: descriptors for files, channels for everything else. Where a slot stands for a member,
/// the way follows the slot.
///
/// Threads: the lane's.
final class MemberWays {
    /// How I/O gets to the member at a position.
    struct Way: BitwiseCopyable {
        /// -1 for none.
        var file: Int32 = -1
        /// Whether I/O goes to a channel instead of the file.
        var hasChannel = false
        /// Whether writes to the file can go through the ring.
        var writesThroughRing = false
        /// Whether the file is in memory, so that a flush has nothing to wait for: a kernel worker would cost more than
        /// the call.
        var flushesAtOnce = false
        /// The slot's version, which other threads change; nil without a slot.
        var version: UnsafeMutablePointer<Atomic<UInt64>>?
        var knownVersion: UInt64 = 0
    }

    /// A channel and the number of its operations that have not been reaped.
    private struct ChannelUse {
        let channel: any MemberChannel
        var outstanding = 0
    }

    /// Keeps the slots alive.
    private let places: [MemberPlace]
    private let hasRing: Bool
    private let ways: UnsafeMutablePointer<Way>
    private var channels: [ChannelUse?]
    /// Channels to members that are not behind their slots any more, with operations still under way.
    private var retired: [ChannelUse] = []
    /// The number of operations that channels have under way.
    private(set) var outstanding = 0

    /// - Throws: when a member without a slot cannot be reached.
    init(_ places: [MemberPlace], hasRing: Bool) throws(OSError) {
        self.places = places
        self.hasRing = hasRing
        channels = Array(repeating: nil, count: places.count)
        ways = .allocate(capacity: max(1, places.count))
        ways.initialize(repeating: Way(), count: places.count)
        for (position, place) in places.enumerated() {
            switch place {
            case .none: break
            case .file(let file): lookAt(file, position)
            case .endpoint(let endpoint):
                channels[position] = ChannelUse(channel: try endpoint.makeChannel())
                ways[position].hasChannel = true
            case .slot(let slot):
                ways[position].version = slot.version
                follow(position)
            }
        }
    }

    deinit { ways.deallocate() }

    /// The way to the member that is at a position now.
    func way(to position: Int) -> Way {
        let way = ways[position]
        guard let version = way.version, version.pointee.load(ordering: .acquiring) != way.knownVersion else {
            return way
        }
        follow(position)
        return ways[position]
    }

    private func lookAt(_ file: Int32, _ position: Int) {
        ways[position].file = file
        ways[position].flushesAtOnce = nbdext_is_in_memory(file) != 0
        ways[position].writesThroughRing = hasRing && nbdext_supports_nowait_write(file, 0) != 0
    }

    /// Finds the way to the member that is behind a slot now.
    private func follow(_ position: Int) {
        guard case .slot(let slot) = places[position] else { return }
        ways[position].knownVersion = slot.version.pointee.load(ordering: .acquiring)
        if let old = channels[position], old.outstanding > 0 { retired.append(old) }
        // When no channel can be made, the descriptor remains, and it has nothing behind it.
        channels[position] = (try? slot.endpoint?.makeChannel()).map { ChannelUse(channel: $0) }
        ways[position].hasChannel = channels[position] != nil
        lookAt(slot.descriptor, position)
    }

    // MARK: Channels

    /// Hands operations to the channel at a position. There must be one.
    func start(_ ios: UnsafeBufferPointer<MemberIO>, at position: Int) {
        outstanding += ios.count
        channels[position]!.outstanding += ios.count
        channels[position]!.channel.start(ios)
    }

    /// Appends the outcomes that channels have ready.
    func reap(into completions: inout [MemberCompletion]) {
        guard outstanding > 0 else { return }
        for position in channels.indices where channels[position] != nil {
            let before = completions.count
            channels[position]!.channel.reap(into: &completions)
            channels[position]!.outstanding -= completions.count - before
            outstanding -= completions.count - before
        }
        for index in retired.indices.reversed() {
            let before = completions.count
            retired[index].channel.reap(into: &completions)
            retired[index].outstanding -= completions.count - before
            outstanding -= completions.count - before
            if retired[index].outstanding == 0 { retired.remove(at: index) }
        }
    }

    /// Adds the descriptors to poll while channels work.
    func addPolls(to polls: inout [pollfd]) {
        for use in channels + retired {
            guard let readiness = use?.channel.readiness else { continue }
            let events = readiness.waitsToSend ? POLLIN | POLLOUT : POLLIN
            polls.append(pollfd(fd: readiness.descriptor, events: Int16(events), revents: 0))
        }
    }
}
