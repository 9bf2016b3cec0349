import Glibc
import TestTraits
import Testing

@testable import Platform

@Suite("The log", .blocks)
struct ServerLogTests {
    @Test(
        "times are in UTC, to the millisecond",
        arguments: [
            (0, 0, "1970-01-01T00:00:00.000Z"), (951_782_400, 999_999_999, "2000-02-29T00:00:00.999Z"),
            (4_102_444_799, 7_000_000, "2099-12-31T23:59:59.007Z"),
        ])
    func time(seconds: Int, nanoseconds: Int, text: String) {
        #expect(StandardErrorLog.text(of: timespec(tv_sec: seconds, tv_nsec: nanoseconds)) == text)
    }
}
