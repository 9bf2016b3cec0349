import Glibc
import MemberIO
import Members
import Platform
import Synchronization

/// A member of an array that is an export of an NBD server.
///
/// A thread of its own runs one connection. Lanes and the control plane hand it commands, many at a time. When the server
/// is lost - the connection ends, or a request is not answered in time - every command fails from then on, for good:
/// what the server had not made durable may be gone, so the member must be added to its array anew. The thread goes on
/// trying to reach the server, to tell when that is possible (`takeAnswer`).
///
/// With an `OutageRule` that waits for the server nothing fails meanwhile. When the server is back and is what it was, all
/// that it had answered and not made durable is written again, and then all that it had not answered is asked for again.
///
/// Threads: any.
package final class RemoteMember: MemberStore, MemberEndpoint, Sendable {
    private let link: RemoteLink
    private let ended = Event()

    /// Begins to connect, and returns at once.
    ///
    /// - Parameters:
    ///   - uri: as libnbd takes it: nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=PATH, nbds: with TLS.
    ///   - readOnly: nothing will be written.
    ///   - limits: how long to wait for the server.
    ///   - outage: decides whether a lost server is waited for; nil for never.
    ///   - report: takes messages for people, on any thread.
    /// - Throws: when the system is out of threads or descriptors.
    package init(
        uri: String, readOnly: Bool, limits: RemoteTimeLimits = RemoteTimeLimits(),
        outage: (any OutageRule)? = nil, report: @escaping @Sendable (String) -> Void
    ) throws(OSError) {
        let link = try RemoteLink(uri: uri, isReadOnly: readOnly, limits: limits, outage: outage, report: report)
        self.link = link
        let thread = try OSThread(name: "remote member") { [ended] in
            RemoteThread(link: link).run()
            ended.set()
        }
        thread.detach()
    }

    deinit {
        link.stop()
        ended.wait()
    }

    package var name: String { link.uri }

    /// What the server says of the export; nil when it was not reached. Blocks until that is known.
    package var traits: ExportTraits? {
        link.settled.wait()
        return link.traits.byteCount > 0 ? link.traits : nil
    }

    /// Why the member cannot be used, in words that fit after "it is"; nil when it can. Blocks until that is known.
    package var absence: String? {
        link.settled.wait()
        return link.problem
    }

    /// Why every operation fails, in words that fit after "it is"; nil while the server is there, or is still being
    /// connected to.
    package var loss: String? { link.problem }

    /// Whether the server, which was lost or was not there, answers again, so that another member can be made of it. Says
    /// so once.
    package func takeAnswer() -> Bool { link.takeAnswer() }

    /// 0 when the server was not reached. Blocks until that is known.
    package var byteCount: UInt64 { traits?.byteCount ?? 0 }

    // MARK: Lanes

    package func makeChannel() throws(OSError) -> any MemberChannel {
        link.settled.wait()
        return try RemoteChannel(link: link)
    }

    /// NBD has nothing to reserve space with, so this promises nothing.
    package func reserve(byteOffset: UInt64, byteCount: UInt64) -> MemberStatus { .done }

    // MARK: The control plane

    package func read(into memory: UnsafeMutableRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        try perform(.read, at: byteOffset, byteCount: UInt64(memory.count), memory: memory.baseAddress)
    }

    package func write(_ memory: UnsafeRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        try perform(
            .write, at: byteOffset, byteCount: UInt64(memory.count),
            memory: UnsafeMutableRawPointer(mutating: memory.baseAddress))
    }

    package func flush() throws(MemberStoreError) { try perform(.flush, at: 0, byteCount: 0) }

    /// Makes everything in front of that place read as zeros. What reads so already, as far as the server knows, is left
    /// alone.
    package func clear(upTo end: UInt64) throws(MemberStoreError) {
        var position: UInt64 = 0
        while position < end, let data = try nextData(from: position), data < end {
            let byteCount = min(Self.clearByteCount, end - data)
            try perform(.punch, at: data, byteCount: byteCount)
            position = data + byteCount
        }
    }

    private static let clearByteCount: UInt64 = 64 << 20
    /// The range of one question for block status.
    private static let statusByteCount: UInt64 = 1 << 30
    /// base:allocation's flag of extents that read as zeros.
    private static let zeroFlag: UInt32 = 2

    package func nextData(from byteOffset: UInt64) throws(MemberStoreError) -> UInt64? {
        var position = byteOffset
        while position < byteCount {
            guard link.traits.knowsHoles else { return position }
            let call = try perform(
                .blockStatus, at: position, byteCount: min(Self.statusByteCount, byteCount - position))
            let before = position
            for index in stride(from: 0, to: call.extents.count - 1, by: 2) {
                guard call.extents[index + 1] & Self.zeroFlag != 0 else { return position }
                position += UInt64(call.extents[index])
            }
            // A server that says nothing knows nothing.
            if position == before { return position }
        }
        return nil
    }

    /// Has the member's thread do something, and waits for it.
    @discardableResult
    private func perform(
        _ kind: RemoteCommand.Kind, at byteOffset: UInt64, byteCount: UInt64, memory: UnsafeMutableRawPointer? = nil
    ) throws(MemberStoreError) -> RemoteCall {
        link.settled.wait()
        let call = RemoteCall()
        let command = RemoteCommand(
            kind, byteOffset: byteOffset, byteCount: byteCount, memory: memory,
            recipient: .call(.passUnretained(call)))
        if link.submit(command) {
            withExtendedLifetime(call) { call.ended.wait() }
        } else {
            call.error = ENOTCONN
        }
        switch call.error {
        case 0: return call
        case ENOSPC, EDQUOT: throw MemberStoreError(.noSpace, String(cString: strerror(call.error)))
        case EIO where kind == .read && link.problem == nil:
            throw MemberStoreError(.unreadable, String(cString: strerror(EIO)))
        case EFAULT where kind != .flush, EINVAL where kind != .flush:
            throw MemberStoreError(.refused, String(cString: strerror(call.error)))
        default: throw MemberStoreError(.failed, link.problem ?? String(cString: strerror(call.error)))
        }
    }
}
