import Glibc
import MemberIO
import Members
import Platform
import RemoteMembers

/// A member that is an export of an NBD server. A text file in the array's directory names it: the first line is an NBD
/// URI.
///
/// Links lead to NBD servers only. Members over another protocol need a link of their own.
///
/// The export itself cannot be locked. The text file is locked instead, which keeps two servers from using the same
/// directory.
///
/// Threads: any.
package final class LinkedMember: PlacedMember {
    /// The suffix of the names of these files.
    static let fileExtension = ".nbd"
    /// Larger files are not read to the end.
    private static let fileByteCountMax: UInt64 = 4096

    private let file: MemberFile
    private let remote: RemoteMember
    private let isReadOnly: Bool
    private let report: MessageSink
    /// The record of the member's outage; nil if the array never waits for it.
    package let outage: MemberOutage?

    /// Reads a file that has been locked as its use demands, and begins to connect.
    /// - Parameter mayWait: whether the array may wait for a lost server.
    /// - Throws: `.unusable`, in words that fit after the file's name, when the file does not hold a URI.
    init(
        _ file: MemberFile, for use: MemberDirectory.Use, mayWait: Bool = false,
        report: @escaping MessageSink
    ) throws(ArrayStoreError) {
        self.file = file
        isReadOnly = use != .write
        self.report = report
        let uri = try Self.readURI(file)
        outage = mayWait ? MemberOutage(name: uri) : nil
        remote = try Self.connect(uri, isReadOnly, outage, report)
    }

    /// The same member with a new connection.
    private init(_ other: LinkedMember) throws(ArrayStoreError) {
        file = other.file
        isReadOnly = other.isReadOnly
        report = other.report
        outage = other.outage.map { MemberOutage(name: $0.name) }
        remote = try Self.connect(other.name, isReadOnly, outage, report)
    }

    private static func connect(
        _ uri: String, _ isReadOnly: Bool, _ outage: MemberOutage?, _ report: @escaping MessageSink
    ) throws(ArrayStoreError) -> RemoteMember {
        do throws(OSError) {
            return try RemoteMember(uri: uri, readOnly: isReadOnly, outage: outage, report: report)
        } catch {
            throw ArrayStoreError("cannot begin to connect to \(uri): \(error)")
        }
    }

    package func reconnected() -> (any PlacedMember)? { remote.takeAnswer() ? try? LinkedMember(self) : nil }

    static func readURI(_ file: MemberFile) throws(ArrayStoreError) -> String {
        let bytes = try? file.bytes(at: 0, count: Int(min(file.byteCount, fileByteCountMax)))
        guard let uri = uri(in: bytes ?? []) else {
            throw ArrayStoreError(
                "does not say where its member is; write the NBD URI of the export into it, such as nbd://host/export",
                .unusable)
        }
        return uri
    }

    /// The URI in the content of such a file; nil without one. A line with control characters is not a URI: it would be
    /// printed unchanged, and libnbd would stop at the first zero byte.
    package static func uri(in bytes: [UInt8]) -> String? {
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") }
        guard line.allSatisfy({ $0 > 32 && $0 != 127 }) else { return nil }
        let text = String(decoding: line, as: UTF8.self)
        return isURI(text) ? text : nil
    }

    /// Whether a text begins like an NBD URI.
    package static func isURI(_ text: String) -> Bool {
        ["nbd://", "nbds://", "nbd+unix://", "nbds+unix://", "nbd+vsock://", "nbds+vsock://"]
            .contains { text.hasPrefix($0) }
    }

    package var name: String { remote.name }
    package var path: String { file.path }
    package var place: MemberPlace { .endpoint(remote) }
    package var absence: String? { remote.absence }
    package var byteCount: UInt64 { remote.byteCount }
    package var loss: MemberLoss? { remote.loss.map { .unreachable($0) } ?? file.loss }

    package func read(into memory: UnsafeMutableRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        try remote.read(into: memory, at: byteOffset)
    }

    package func write(_ memory: UnsafeRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        try remote.write(memory, at: byteOffset)
    }

    package func flush() throws(MemberStoreError) { try remote.flush() }

    package func nextData(from byteOffset: UInt64) throws(MemberStoreError) -> UInt64? {
        try remote.nextData(from: byteOffset)
    }
}
