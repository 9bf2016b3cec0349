/// Synchronous access to one member of an array: a file, an NBD export or a simulated member.
///
/// The control plane uses it: for superblocks, for recovery when an array is opened, and to look for holes in
/// maintenance. Clients' requests take another way. Offsets and counts are bytes of the member, not of its data area.
///
/// Threads: one call at a time, unless a conforming type says more.
package protocol MemberStore: AnyObject, Sendable {
    /// The member's name in messages: a path or an address.
    var name: String { get }
    /// The member's size, bytes.
    var byteCount: UInt64 { get }

    /// Fills `memory`. A member that ends inside the range has failed.
    func read(into memory: UnsafeMutableRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError)
    /// Writes all of `memory`. It is durable after the next successful `flush`.
    func write(_ memory: UnsafeRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError)
    /// Makes everything durable that was written before, by this or any other way.
    func flush() throws(MemberStoreError)
    /// The first byte at or behind `byteOffset` that may be other than zero, or nil when there is none. A member that
    /// does not know its holes answers `byteOffset`.
    func nextData(from byteOffset: UInt64) throws(MemberStoreError) -> UInt64?
}

/// Why an operation on a member failed.
package struct MemberStoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// `.noSpace`, `.refused`, `.failed` or, for a read only, `.unreadable`.
    package let status: MemberStatus
    /// The cause in the system's words: "Input/output error".
    package let description: String

    package init(_ status: MemberStatus, _ description: String) {
        assert(status != .done, "an operation that was done is an error")
        self.status = status
        self.description = description
    }
}

extension MemberStore {
    /// Reads a range into an array of bytes.
    package func bytes(at byteOffset: UInt64, count: Int) throws(MemberStoreError) -> [UInt8] {
        assert(count >= 0, "a range has no bytes")
        var failure: MemberStoreError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do throws(MemberStoreError) {
                try read(into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: count), at: byteOffset)
                filled = count
            } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Writes an array of bytes.
    package func write(bytes: [UInt8], at byteOffset: UInt64) throws(MemberStoreError) {
        assert(!bytes.isEmpty, "nothing was written")
        var failure: MemberStoreError?
        bytes.withUnsafeBytes { memory in
            do throws(MemberStoreError) { try write(memory, at: byteOffset) } catch { failure = error }
        }
        if let failure { throw failure }
    }
}
