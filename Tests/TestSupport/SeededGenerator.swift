import Glibc
import Platform

extension SeededGenerator {
    /// For a test run: another one each time, unless NBDEXT_SEED says which. It is printed when it is used first.
    package static let seed = {
        let seed = getenv("NBDEXT_SEED").flatMap { UInt64(String(cString: $0)) } ?? .random(in: 1...999_999)
        print("NBDEXT_SEED=\(seed)")
        return seed
    }()
}
