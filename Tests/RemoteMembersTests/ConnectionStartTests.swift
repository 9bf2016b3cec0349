import Glibc
import Platform
import TestTraits
import Testing

@testable import RemoteMembers

/// A name service that does not answer.
@Suite("The search for a server's address", .serialized, .blocks)
struct ConnectionStartTests {
    private let mayAnswer: Event
    private let begun: Event
    private let connector: ConnectionStart.Connector

    init() {
        let (mayAnswer, begun) = (Event(), Event())
        (self.mayAnswer, self.begun) = (mayAnswer, begun)
        connector = ConnectionStart.Connector { _, _ in
            begun.set()
            mayAnswer.wait()
            return -1
        }
    }

    private func attempt(limit: UInt64, interruption: Int32) -> RemoteProblem? {
        do throws(RemoteProblem) {
            _ = try NBDConnection(
                uri: "nbd://nowhere.invalid", limit: limit, interruption: interruption, connector: connector)
            return nil
        } catch { return error }
    }

    @Test("ends when the time is up, and when it is interrupted")
    func limits() throws {
        defer { mayAnswer.set() }
        let bell = try Bell()
        #expect(
            attempt(limit: 50, interruption: bell.descriptor)?.description.contains("was not found in time") == true)
        #expect(begun.comes())
        bell.ring()
        let problem = attempt(limit: 600_000, interruption: bell.descriptor)
        #expect(problem?.description.contains("the attempt was ended") == true)
    }

    @Test("is not begun again without end while earlier ones go on")
    func bounded() throws {
        let bell = try Bell()
        var problems: [String] = []
        for _ in 0..<ConnectionStart.abandonedCountMax + 2 {
            problems.append(attempt(limit: 1, interruption: bell.descriptor)?.description ?? "")
        }
        #expect(problems.last?.contains("attempts before are still looking") == true, "\(problems)")
        mayAnswer.set()
        #expect(
            eventually {
                attempt(limit: 600_000, interruption: bell.descriptor)?.description.contains("attempts before") == false
            })
    }
}
