import Foundation
import ParallelInterface
import Testing

/// The pages give the limits that the program has.
@Suite("Documentation of limits")
struct LimitsTests {
    @Test(
        "the number of clients that are served at a time is the program's",
        arguments: [("README.md", "of which N are served at a time"), ("Docs/using.md", "N are served at a time")])
    func clients(page: String, sentence: String) throws {
        let text = try Project.text(page)
        let expected = sentence.replacing("N", with: "\(ParallelController.clientCountMax)", maxReplacements: 1)
        #expect(text.contains(expected), "\(page) needs: \(expected)")
    }
}
