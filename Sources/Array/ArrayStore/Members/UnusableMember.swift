import MemberIO
import Members

/// A file in an array's directory that may be a member and cannot be used. The array goes on without it.
final class UnusableMember: PlacedMember {
    let name: String
    /// Why it cannot be used, in words that fit after "is left out:".
    private let reason: String

    init(_ name: String, _ reason: String) {
        self.name = name
        self.reason = reason
    }

    var absence: String? { reason }
    var place: MemberPlace { .none }
    var byteCount: UInt64 { 0 }

    private var failure: MemberStoreError { MemberStoreError(.failed, reason) }

    func read(into memory: UnsafeMutableRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) {
        throw failure
    }

    func write(_ memory: UnsafeRawBufferPointer, at byteOffset: UInt64) throws(MemberStoreError) { throw failure }
    func flush() throws(MemberStoreError) { throw failure }
    func nextData(from byteOffset: UInt64) throws(MemberStoreError) -> UInt64? { throw failure }
}
