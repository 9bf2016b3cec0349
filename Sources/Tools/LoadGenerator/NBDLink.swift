import CLinux
import Glibc
import NBDProtocol
import Platform

/// A connection to a server's default export, negotiated with simple replies and ready for requests.
package final class NBDLink: Sendable {
    private static let clientFlags: NBDClientFlags = [.fixedNewstyle, .noZeroes]
    private static let optionReplyByteCountMax: UInt32 = 1 << 16
    let descriptor: Int32
    /// The export's size.
    package let byteCount: UInt64

    /// Connects to a Unix socket.
    package init(path: String) throws {
        descriptor = try Self.connect(path)
        do {
            byteCount = try Self.negotiate(descriptor)
        } catch {
            close(descriptor)
            throw error
        }
        // As much as the system allows, so that a batch of writes goes in few pieces.
        nbdext_set_send_buffer(descriptor, 4 << 20)
    }

    /// Sends NBD_CMD_DISC and closes the socket.
    deinit {
        _ = try? Self.send(
            Self.bytes(NBD.requestMagic) + Self.bytes(UInt16(0)) + Self.bytes(NBDCommand.disc.rawValue)
                + [UInt8](repeating: 0, count: 20), descriptor)
        close(descriptor)
    }

    private static func connect(_ path: String) throws -> Int32 {
        guard let address = sockaddr_un(path: path) else {
            throw OperationError("the socket path \(path) is too long (at most 107 bytes)")
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw OSError(code: errno, doing: "make a socket") }
        guard address.withPointer({ Glibc.connect(descriptor, $0, $1) }) == 0 else {
            let code = errno
            close(descriptor)
            throw OSError(code: code, doing: "connect to \(path)")
        }
        return descriptor
    }

    /// Chooses the default export with NBD_OPT_GO.
    /// - Returns: the export's size, bytes.
    private static func negotiate(_ descriptor: Int32) throws -> UInt64 {
        let greeting = try receive(18, descriptor)
        guard load(greeting[0..<8]) == NBD.magic, load(greeting[8..<16]) == NBD.optionMagic else {
            throw OperationError("what listens there does not speak NBD")
        }
        try send(
            bytes(clientFlags.rawValue) + bytes(NBD.optionMagic) + bytes(NBDOption.go.rawValue) + bytes(UInt32(6))
                + [UInt8](repeating: 0, count: 6), descriptor)
        var byteCount: UInt64?
        while true {
            let header = try receive(20, descriptor)
            let type = NBDOptionReply(rawValue: UInt32(load(header[12..<16])))
            let length = UInt32(load(header[16..<20]))
            guard load(header[0..<8]) == NBD.optionReplyMagic, length <= optionReplyByteCountMax else {
                throw OperationError("the server's answer to NBD_OPT_GO cannot be understood")
            }
            let data = try receive(Int(length), descriptor)
            if type == .ack { break }
            guard type == .info else { throw OperationError("the server refuses its default export (\(type))") }
            if data.count >= 10, load(data[0..<2]) == UInt64(NBDInfo.export.rawValue) { byteCount = load(data[2..<10]) }
        }
        guard let byteCount else { throw OperationError("the server does not say how large its export is") }
        return byteCount
    }

    private static func send(_ bytes: [UInt8], _ descriptor: Int32) throws {
        // The few bytes sent here fit into an empty socket.
        guard Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            throw OperationError("the server ended the connection")
        }
    }

    private static func receive(_ count: Int, _ descriptor: Int32) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        guard count == 0 || recv(descriptor, &bytes, count, Int32(MSG_WAITALL)) == count else {
            throw OperationError("the server ended the connection")
        }
        return bytes
    }

    private static func load(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    private static func bytes<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }
}
