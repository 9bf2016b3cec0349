import MemberIO
import Members
import RAID

/// A member that control-plane code and lanes can both work on.
package protocol PlacedMember: MemberStore {
    /// Where lanes find the member.
    var place: MemberPlace { get }
    /// Why the member is not there at all, in words that fit after "it is"; nil when it is.
    var absence: String? { get }
    /// The file that is the member, or leads to it.
    var path: String { get }
    /// The member anew, when it was lost and can be reached again since; nil otherwise, and the next time.
    func reconnected() -> (any PlacedMember)?
}

extension PlacedMember {
    package var absence: String? { nil }
    package var path: String { name }
    package func reconnected() -> (any PlacedMember)? { nil }
}

/// A member and the superblock that was found on it.
package struct ArrayMember: Sendable {
    package let store: any PlacedMember
    /// As it was when the array was opened.
    package let superblock: MDSuperblock

    /// Writes a superblock to the member and returns when it is durable.
    func write(_ superblock: MDSuperblock) throws(ArrayStoreError) {
        var sealed = superblock
        sealed.seal()
        do throws(MemberStoreError) {
            try store.write(bytes: sealed.bytes, at: MDSuperblock.byteOffset)
        } catch {
            throw ArrayStoreError("cannot write the superblock of \(store.name): \(error)", .memberIO)
        }
        try flush()
    }

    /// Makes durable what was written to the member.
    func flush() throws(ArrayStoreError) {
        do throws(MemberStoreError) { try store.flush() } catch {
            throw ArrayStoreError("cannot flush \(store.name): \(error)", .memberIO)
        }
    }
}
