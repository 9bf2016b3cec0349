import Glibc
import Testing

/// Kinds of tests that scripts/check leaves out, for suites and for single tests. NBDEXT_TESTS=quick does the same.
extension Trait where Self == ConditionTrait {
    /// They take seconds: exhaustive or randomised ones, and those that start programs.
    package static var slow: ConditionTrait { leftOut("slow") }
    /// They start a Linux kernel.
    package static var kernel: ConditionTrait { leftOut("needs a kernel") }
    /// They wait for a clock that nobody turns.
    package static var clock: ConditionTrait { leftOut("waits for the clock") }

    private static func leftOut(_ reason: Comment) -> ConditionTrait {
        .disabled(if: getenv("NBDEXT_TESTS").map { String(cString: $0) } == "quick", reason)
    }
}
