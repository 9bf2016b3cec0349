/// What a server announces about an export, and what that allows. Sizes are in bytes.
package struct ExportTraits: Sendable, Equatable {
    /// The size of the export.
    package var byteCount: UInt64 = 0
    /// Whether the server refuses writes (NBD_FLAG_READ_ONLY).
    package var isReadOnly = false
    /// Whether the server makes writes durable on request (NBD_FLAG_SEND_FLUSH).
    package var canFlush = false
    /// Whether the server takes writes with FUA (NBD_FLAG_SEND_FUA).
    package var canWriteThrough = false
    /// Whether the server has NBD_CMD_WRITE_ZEROES (NBD_FLAG_SEND_WRITE_ZEROES).
    package var canZero = false
    /// Whether the server has the metadata context base:allocation.
    package var knowsHoles = false
    /// The smallest read or write. Offsets are multiples of it.
    package var requestByteCountMin = 1
    /// The largest read or write.
    package var requestByteCountMax = 32 << 20

    /// The block size of an array: the smallest unit that a member must be able to read and write.
    static let blockByteCount = 512

    /// Why the export cannot be a member, in words that fit after "it is"; nil when it can.
    func problem(readOnly: Bool) -> String? {
        if isReadOnly && !readOnly {
            return "not usable: the export is read-only; start the server without its read-only option"
        }
        if !canFlush && !readOnly {
            return "not usable: the server has no flush, so nothing on it would ever be durable; use one that has"
        }
        if requestByteCountMin > Self.blockByteCount {
            return "not usable: the server takes no requests below \(requestByteCountMin) bytes, and members need "
                + "\(Self.blockByteCount); set its minimum block size"
        }
        if requestByteCountMax < Self.blockByteCount {
            return "not usable: the server takes no requests above \(requestByteCountMax) bytes, and members need "
                + "\(Self.blockByteCount); set its maximum block size"
        }
        return nil
    }
}

/// How long a remote member is waited for, in milliseconds.
package struct RemoteTimeLimits: Sendable {
    /// The limit for connecting and shaking hands. An array waits no longer for a server that hangs before it is served
    /// without that member.
    package var connecting: UInt64 = 3_500
    /// The limit for answering a request.
    package var answering: UInt64 = 30_000
    /// The pause between the first two attempts to reach a lost member. It doubles after each attempt.
    package var firstRetry: UInt64 = 1000
    /// The longest pause between attempts.
    package var lastRetry: UInt64 = 30_000

    package init() {}
}
