import CLinux
import Glibc
import MemberIO
import Platform
import Synchronization

/// How I/O gets to the member at a position.
struct MemberRoute: BitwiseCopyable {
    /// -1 for none.
    var file: Int32 = -1
    /// Whether I/O goes to a channel instead of the file.
    var hasChannel = false
    /// Whether writes to the file can go through the ring.
    var writesThroughRing = false
    /// Whether the file is in memory, so that a flush has nothing to wait for: a kernel worker would cost more than
    /// the call.
    var flushesAtOnce = false
    /// The bay's version, which other threads change; nil without a bay.
    var version: UnsafeMutablePointer<Atomic<UInt64>>?
    var knownVersion: UInt64 = 0
}

/// A lane's routes to its members: descriptors for files, channels for everything else. The route to a bay follows the
/// members in it.
///
/// Threads: the lane's.
final class MemberRoutes {
    /// A channel and the number of its operations that have not been reaped.
    private struct ChannelUse {
        let channel: any MemberChannel
        var outstanding = 0
    }

    /// Keeps the bays alive.
    private let places: [MemberPlace]
    private let hasRing: Bool
    private let routes: UnsafeMutablePointer<MemberRoute>
    private var channels: [ChannelUse?]
    /// Channels to members that have left their bays, with operations still under way.
    private var retired: [ChannelUse] = []
    /// The number of operations that channels have under way.
    private(set) var outstanding = 0

    /// - Throws: when a member that is not in a bay cannot be reached.
    init(_ places: [MemberPlace], hasRing: Bool) throws(OSError) {
        self.places = places
        self.hasRing = hasRing
        channels = Array(repeating: nil, count: places.count)
        routes = .allocate(capacity: max(1, places.count))
        routes.initialize(repeating: MemberRoute(), count: places.count)
        for (position, place) in places.enumerated() {
            switch place {
            case .none: break
            case .file(let file): lookAt(file, position)
            case .endpoint(let endpoint):
                channels[position] = ChannelUse(channel: try endpoint.makeChannel())
                routes[position].hasChannel = true
            case .bay(let bay):
                routes[position].version = bay.version
                follow(position)
            }
        }
    }

    deinit { routes.deallocate() }

    /// The route to the member that is at a position now.
    func route(to position: Int) -> MemberRoute {
        assert(position >= 0 && position < places.count, "there is no member at position \(position)")
        let route = routes[position]
        guard let version = route.version, version.pointee.load(ordering: .acquiring) != route.knownVersion else {
            return route
        }
        follow(position)
        return routes[position]
    }

    private func lookAt(_ file: Int32, _ position: Int) {
        routes[position].file = file
        routes[position].flushesAtOnce = nbdext_is_in_memory(file) != 0
        routes[position].writesThroughRing = hasRing && nbdext_supports_nowait_write(file, 0) != 0
    }

    /// Finds the route to the member that is in a bay now.
    private func follow(_ position: Int) {
        guard case .bay(let bay) = places[position] else { return }
        routes[position].knownVersion = bay.version.pointee.load(ordering: .acquiring)
        assert(routes[position].version == bay.version, "position \(position) follows another bay")
        if let old = channels[position], old.outstanding > 0 { retired.append(old) }
        // When no channel can be made, I/O goes to the descriptor and fails there.
        channels[position] = (try? bay.endpoint?.makeChannel()).map { ChannelUse(channel: $0) }
        routes[position].hasChannel = channels[position] != nil
        lookAt(bay.descriptor, position)
    }

    // MARK: Channels

    /// Hands operations to the channel at a position. There must be one.
    func start(_ ios: UnsafeBufferPointer<MemberIO>, at position: Int) {
        assert(routes[position].hasChannel, "operations for a channel, and position \(position) has none")
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
            assert(channels[position]!.outstanding >= 0, "a channel has ended more operations than it got")
            outstanding -= completions.count - before
        }
        for index in retired.indices.reversed() {
            let before = completions.count
            retired[index].channel.reap(into: &completions)
            retired[index].outstanding -= completions.count - before
            assert(retired[index].outstanding >= 0, "a channel has ended more operations than it got")
            outstanding -= completions.count - before
            if retired[index].outstanding == 0 { retired.remove(at: index) }
        }
        assert(
            outstanding == (channels.compactMap { $0 } + retired).reduce(0) { $0 + $1.outstanding },
            "the operations of channels are miscounted")
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
