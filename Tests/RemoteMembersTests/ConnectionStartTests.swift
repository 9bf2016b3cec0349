import Glibc
import Platform
import TestTraits
import Testing

@testable import RemoteMembers

/// A name service that does not answer.
@Suite("The search for a server's address", .serialized, .blocks)
struct ConnectionStartTests {
    private let mayAnswer: OneShotEvent
    private let begun: OneShotEvent
    private let connector: ConnectionStart.Connector

    init() {
        let (mayAnswer, begun) = (OneShotEvent(), OneShotEvent())
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
        let wakeup = try EventFD()
        #expect(
            attempt(limit: 50, interruption: wakeup.descriptor)?.description.contains("was not found in time") == true)
        #expect(begun.comes())
        wakeup.signal()
        let problem = attempt(limit: 600_000, interruption: wakeup.descriptor)
        #expect(problem?.description.contains("the attempt was ended") == true)
    }

    @Test("is not begun again without end while earlier ones go on")
    func bounded() throws {
        let wakeup = try EventFD()
        var problems: [String] = []
        for _ in 0..<ConnectionStart.abandonedCountMax + 2 {
            problems.append(attempt(limit: 1, interruption: wakeup.descriptor)?.description ?? "")
        }
        #expect(problems.last?.contains("earlier attempts are still looking") == true, "\(problems)")
        mayAnswer.set()
        #expect(
            eventually {
                attempt(limit: 600_000, interruption: wakeup.descriptor)?.description.contains("earlier attempts")
                    == false
            })
    }
}
