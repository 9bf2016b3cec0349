import Glibc
import Platform
import TestTraits
import Testing

@testable import Members

@Suite("The ring of a lane", .blocks)
struct UringQueueTests {
    /// In a process of its own: memory that is freed twice ends it.
    @Test("a ring that the system refuses is an error, and nothing is given back twice")
    func refusal() async {
        await #expect(processExitsWith: .success) {
            for _ in 0..<100 {
                do {
                    // More than the kernel allows, as it refuses one without descriptors or memory.
                    _ = try UringQueue(entryCount: 1 << 20)
                    exit(1)
                } catch is OSError {} catch { exit(2) }
            }
            exit(0)
        }
    }
}
