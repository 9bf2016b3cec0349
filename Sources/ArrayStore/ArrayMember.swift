import MemberIO
import RAID

/// A member and the superblock that was found on it.
package struct ArrayMember: Sendable {
    package let store: any MemberStore
    /// As it was when the array was opened.
    package let superblock: MDSuperblock

    /// Writes a superblock to the member and returns when it is durable.
    func write(_ superblock: MDSuperblock) throws(ArrayStoreError) {
        var sealed = superblock
        sealed.seal()
        do throws(MemberStoreError) {
            try store.write(bytes: sealed.bytes, at: MDSuperblock.byteOffset)
            try store.flush()
        } catch {
            throw ArrayStoreError("cannot write the superblock of \(store.name): \(error)", .memberIO)
        }
    }
}
