/// What a server says of an export, and what that allows. Sizes are bytes.
package struct ExportTraits: Sendable, Equatable {
    package var byteCount: UInt64 = 0
    package var isReadOnly = false
    /// Whether the server makes writes durable when it is told to.
    package var canFlush = false
    /// FUA.
    package var canWriteThrough = false
    /// WRITE_ZEROES.
    package var canZero = false
    /// The metadata context base:allocation.
    package var knowsHoles = false
    /// The smallest read or write, which offsets are multiples of.
    package var requestByteCountMin = 1
    /// The largest read or write.
    package var requestByteCountMax = 32 << 20

    /// Blocks of an array: what a member must be able to read and write.
    static let blockByteCount = 512

    /// Why the export cannot be a member, in words that fit after "it is"; nil when it can.
    func problem(readOnly: Bool) -> String? {
        if isReadOnly && !readOnly {
            return "not usable: the server lets clients read only; start it without its read-only option"
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

/// How long a remote member is waited for, milliseconds.
package struct RemoteTimeLimits: Sendable {
    /// To connect and shake hands. An array waits as long for a server that hangs before it is served without it.
    package var connecting: UInt64 = 3_500
    /// To answer a request.
    package var answering: UInt64 = 30_000
    /// Between the first two attempts to reach a lost member; doubled after each.
    package var firstRetry: UInt64 = 1000
    /// Between attempts, at most.
    package var lastRetry: UInt64 = 30_000

    package init() {}
}
