import Foundation
import ParallelInterface
import Testing

/// The pages give the limits that the program has.
@Suite("Documentation of limits")
struct LimitsTests {
    @Test(
        "the number of clients is the program's",
        arguments: [("README.md", "At most N clients"), ("Docs/using.md", "| clients of a server | N connections;")])
    func clients(page: String, sentence: String) throws {
        let text = try Project.text(page)
        let expected = sentence.replacing("N", with: "\(ParallelController.clientCountMax)", maxReplacements: 1)
        #expect(text.contains(expected), "\(page) needs: \(expected)")
    }
}
