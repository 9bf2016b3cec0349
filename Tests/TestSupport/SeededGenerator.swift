import Glibc
import Platform

extension SeededGenerator {
    /// For a test run: another one each time, unless NBDEXT_SEED says which.
    package static let seed = getenv("NBDEXT_SEED").flatMap { UInt64(String(cString: $0)) } ?? .random(in: 1...999_999)
}
