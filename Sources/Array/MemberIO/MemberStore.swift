/// Synchronous access to one member of an array, whatever it is: a file, an NBD export, a simulated member.
///
/// It is the control plane's: superblocks, recovery when an array is opened, the runs of maintenance that plan. Requests
/// of clients do not come this way. Offsets and counts are bytes, of the member and not of its data area.
///
/// Threads: one at a time, unless a conforming type says more.
package protocol MemberStore: AnyObject, Sendable {
    /// What messages call the member: a path, an address.
    var name: String { get }
    /// The member's size.
    var byteCount: UInt64 { get }

    /// Fills `memory`. A member that ends inside of the range has failed.
    func read(into memory: UnsafeMutableRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError)
    /// Writes all of `memory`. It is durable after the next `flush` that succeeds.
    func write(_ memory: UnsafeRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError)
    /// Everything that was written before, in whichever way, is durable when this returns.
    func flush() throws(MemberStoreError)
    /// The first byte at or behind `byteOffset` that may be other than zero, or nil when there is none. A member that
    /// does not know where its holes are answers `byteOffset`.
    func nextData(from byteOffset: UInt64) throws(MemberStoreError) -> UInt64?
}

/// Why a member did not do what it was asked.
package struct MemberStoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// `.noSpace`, `.refused`, `.failed` or, of a read alone, `.unreadable`.
    package let status: MemberStatus
    /// The cause in the system's words: "Input/output error".
    package let description: String

    package init(_ status: MemberStatus, _ description: String) {
        self.status = status
        self.description = description
    }
}

extension MemberStore {
    /// Reads a range into an array of bytes.
    package func bytes(at byteOffset: UInt64, count: Int) throws(MemberStoreError) -> [UInt8] {
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
        var failure: MemberStoreError?
        bytes.withUnsafeBytes { memory in
            do throws(MemberStoreError) { try write(memory, at: byteOffset) } catch { failure = error }
        }
        if let failure { throw failure }
    }
}
