import Glibc
import MemberIO
import Members
import Platform
import Synchronization

/// A member of an array that is an export of an NBD server.
///
/// This target speaks NBD only, by libnbd. Members over another protocol belong in a target beside it.
///
/// A thread of its own runs one connection. Lanes and the control plane hand it commands, many at a time. The server is
/// lost when the connection ends or a request is not answered in time. From then on every command fails, for good:
/// writes that were not durable may be gone, so the member must be added to its array again. The thread goes on trying
/// to reach the server, and `takeAnswer` tells when it has succeeded.
///
/// With an `OutageRule` that waits for the server, no command fails meanwhile. When the server is back with the member
/// unchanged, all acknowledged writes that were not durable are written again. Then all unanswered commands are sent
/// again.
///
/// Threads: any.
package final class RemoteMember: MemberStore, MemberEndpoint, Sendable {
    private let link: RemoteLink
    private let ended = OneShotEvent()

    /// Begins to connect and returns at once.
    ///
    /// - Parameters:
    ///   - uri: as libnbd takes it: nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=PATH, nbds: with TLS.
    ///   - readOnly: whether the member will never be written to.
    ///   - limits: how long to wait for the server.
    ///   - outage: decides whether to wait for a lost server; nil to never wait.
    ///   - report: takes messages for the user, on any thread.
    /// - Throws: when the system is out of threads or descriptors.
    package init(
        uri: String, readOnly: Bool, limits: RemoteTimeLimits = RemoteTimeLimits(),
        outage: (any OutageRule)? = nil, report: @escaping MessageSink
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

    /// What the server announces about the export; nil when it was not reached. Blocks until that is known.
    package var traits: ExportTraits? {
        link.settled.wait()
        return link.traits.byteCount > 0 ? link.traits : nil
    }

    /// Why the member cannot be used, in words that fit after "it is"; nil when it can. Blocks until that is known.
    package var absence: String? {
        link.settled.wait()
        return link.problem
    }

    /// Why every operation fails, in words that fit after "it is"; nil while the server is there or the first attempt
    /// to connect goes on.
    package var loss: String? { link.problem }

    /// Whether a server that was lost or never reached answers again, so that a new `RemoteMember` can be made for it.
    /// Returns true once.
    package func takeAnswer() -> Bool { link.takeAnswer() }

    /// The size of the export in bytes, or 0 when the server was not reached. Blocks until that is known.
    package var byteCount: UInt64 { traits?.byteCount ?? 0 }

    // MARK: Lanes

    package func makeChannel() throws(OSError) -> any MemberChannel {
        link.settled.wait()
        return try RemoteChannel(link: link)
    }

    /// NBD cannot reserve space, so this promises nothing.
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

    /// Makes all bytes below `end` read as zeros. Ranges that already do, according to the server's block status, are
    /// left alone.
    package func clear(upTo end: UInt64) throws(MemberStoreError) {
        var position: UInt64 = 0
        while position < end, let data = try nextData(from: position), data < end {
            let byteCount = min(Self.clearByteCount, end - data)
            try perform(.punch, at: data, byteCount: byteCount)
            position = data + byteCount
        }
    }

    private static let clearByteCount: UInt64 = 64 << 20
    /// The largest range of one block status request.
    private static let statusByteCount: UInt64 = 1 << 30
    /// NBD_STATE_ZERO, the flag of base:allocation for extents that read as zeros.
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
            // A server that reports no extent does not know its holes.
            if position == before { return position }
        }
        return nil
    }

    /// Has the member's thread carry out a command, and waits for it.
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
