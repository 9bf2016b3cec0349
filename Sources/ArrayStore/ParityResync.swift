import CLinux
import Glibc
import RAID

/// Makes the parity of a RAID 5 array right after it was not stopped cleanly.
///
/// Only stripes in which some member has data are looked at: where all are holes, zeros are their own parity.
enum ParityResync {
    /// - Returns: bytes of parity that were wrong and have been rewritten.
    static func run(_ array: OpenedArray) throws(ArrayStoreError) -> UInt64 {
        let geometry = array.geometry
        let chunk = Int(geometry.chunkByteCount)
        let files = array.members.map { $0! }
        var blocks = [[UInt64]](repeating: Array(repeating: 0, count: chunk / 8), count: files.count)
        var repaired: UInt64 = 0
        var stripe = nextStripe(from: 0, files, geometry)
        while let current = stripe {
            let offset = off_t(geometry.memberByteOffset(stripe: current, row: 0))
            let parity = geometry.parityMember(stripe: current)
            for (index, file) in files.enumerated() {
                guard pread(file.descriptor, &blocks[index], chunk, offset) == chunk else {
                    throw ArrayStoreError(
                        "cannot read \(file.path) at byte \(offset): \(String(cString: strerror(errno))); "
                            + "move it away and serve the array without it, with --force")
                }
            }
            var expected = [UInt64](repeating: 0, count: chunk / 8)
            for index in files.indices where index != parity {
                for word in expected.indices { expected[word] ^= blocks[index][word] }
            }
            if expected != blocks[parity] {
                guard pwrite(files[parity].descriptor, expected, chunk, offset) == chunk else {
                    throw ArrayStoreError("cannot write \(files[parity].path): \(String(cString: strerror(errno)))")
                }
                repaired += UInt64(chunk)
            }
            stripe = nextStripe(from: current + 1, files, geometry)
        }
        for file in files where fdatasync(file.descriptor) != 0 {
            throw ArrayStoreError("cannot flush \(file.path): \(String(cString: strerror(errno)))")
        }
        return repaired
    }

    /// The first stripe, from `stripe` on, in which a member has data; nil when there is none.
    private static func nextStripe(
        from stripe: UInt64, _ files: [MemberFile], _ geometry: ArrayGeometry
    ) -> UInt64? {
        let stripeCount = geometry.memberDataByteCount / geometry.chunkByteCount
        guard stripe < stripeCount else { return nil }
        let start = off_t(geometry.memberByteOffset(stripe: stripe, row: 0))
        var first: UInt64?
        for file in files {
            let data = nbdext_seek_data(file.descriptor, Int64(start))
            guard data >= 0 else { continue }
            let found = (UInt64(data) - geometry.dataByteOffset) / geometry.chunkByteCount
            first = min(first ?? found, found)
        }
        return first.flatMap { $0 < stripeCount ? $0 : nil }
    }
}
