import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// The driver that has every construct of interface files (Tests/Dexts/KitDriver): its checks of the kit, and its
/// mistakes.
@Suite("the kit for DEXTs", .serialized, .needsCore, .slow)
struct KitDriverTests {
    /// The checks of a driver without a card.
    private static let checkCount = 122

    private static let built = Result { try builtBundle("\(checkout.path)/Tests/Dexts/KitDriver") }

    /// A copy of the bundle whose personality has other properties in the place of KitChecks.
    private func bundle(in directory: TemporaryDirectory, _ properties: String) throws -> String {
        let path = "\(directory.path)/KitDriver.dext"
        try FileManager.default.copyItem(atPath: Self.built.get(), toPath: path)
        let list = "\(path)/Info.plist"
        let (old, text) = ("<key>KitChecks</key>", TextFile.read("\(path)/Info.plist"))
        try #require(text.contains(old), "\(list) has changed")
        try TextFile.write(text.replacing(old, with: properties), to: list)
        return path
    }

    private func serve(_ bundle: String, in directory: TemporaryDirectory, _ arguments: String...) throws -> Program {
        try Program(nbdext, ["serve", "--dext", bundle, "--socket", "\(directory.path)/socket"] + arguments)
    }

    // MARK: Checks

    @Test("keeps what it promises: every check of a driver in C++ passes, and the registry has what the driver set")
    func checks() throws {
        let directory = TemporaryDirectory()
        let control = "\(directory.path)/control"
        let server = try serve(Self.built.get(), in: directory, "--control", control)
        defer { #expect(server.stop() == 0, "\(server.said)") }
        try server.waitFor("ready: ")
        var tree = ""
        let isDone = try eventually(everyMilliseconds: 50) {
            tree = try Shell.run(nbdext, ["ioreg", "--control", control]).output
            return tree.contains("\"KitChecksDone\"") || !server.isRunning
        }
        #expect(isDone && tree.contains("\"KitFailures\" = 0 ("), "\(server.said)\(tree)")
        #expect(tree.contains("\"KitChecksDone\" = \(Self.checkCount) "), "\(tree)")
        #expect(!server.errors.contains("check failed"), "\(server.errors)")
        #expect(faults(server.errors) == ["B29"], "\(server.errors)")
    }

    /// The driver has no card, so its disk cannot be read by bundled tasks. But the checks are the driver's own.
    @Test("keeps it in bundled mode too")
    func bundledChecks() throws {
        let directory = TemporaryDirectory()
        let bundle = try bundle(in: directory, "<key>KitBundled</key><true/><key>KitChecks</key>")
        let server = try serve(bundle, in: directory, "--mode", "bundled")
        try server.waitFor(" checks, 0 failures")
        server.stop()
        #expect(!server.errors.contains("check failed"), "\(server.errors)")
    }

    // MARK: The user client

    private func check(_ bundle: String) throws -> Shell.Result {
        try Shell.run(nbdext, ["check-driver", "--mode", "legacy", bundle])
    }

    @Test("has a user client, which check-driver opens, calls and closes")
    func userClient() throws {
        let result = try check(Self.built.get())
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        // kIOReturnBadArgument: the client's call takes a number.
        let row = /user client +passed +opened, answered an unknown selector with 0xe00002c2, closed/
        #expect(result.output.contains(row), "\(result.output)")
    }

    @Test("whose user client does not let go fails the check")
    func userClientStays() throws {
        let directory = TemporaryDirectory()
        let result = try check(faulty(Mistake("client-never-stops", ""), in: directory))
        #expect(result.status == 1, "\(result.output)\(result.errors)")
        #expect(result.output.contains(/user client +failed +the client's Stop did not/), "\(result.output)")
    }

    // MARK: Mistakes

    /// A mistake of the driver, and how it is named.
    struct Mistake: Sendable, CustomTestStringConvertible {
        var name: String
        /// The number of the fault, or a part of the sentence.
        var words: String
        /// How the server goes on.
        var isServed = true

        init(_ name: String, _ words: String, isServed: Bool = true) {
            (self.name, self.words, self.isServed) = (name, words, isServed)
        }

        var testDescription: String { name }
    }

    /// Mistakes with the kit. Those of drivers in general are the scenarios'.
    static let mistakes = [
        Mistake("missing-queue", "is bound to the queue MissingQueue, and SetDispatchQueue never set it"),
        Mistake("queue-waits-for-itself", "B50"),
        Mistake("wrong-action", "the action of KitDriver::TimeIsUp was given to a call that it was not made for"),
        Mistake("released-object", "B20"),
        Mistake("no-super-free", "KitObject::free did not call super::free()"),
        Mistake("wrong-free-size", "100000): only"),
        Mistake("lock-taken-twice", "the calling thread has this lock already", isServed: false),
        Mistake("completed-twice", "B30"),
    ]

    @Test("names its mistakes, and the server lives or refuses the driver", arguments: mistakes)
    func named(_ mistake: Mistake) throws {
        let directory = TemporaryDirectory()
        let server = try serve(faulty(mistake, in: directory), in: directory)
        try server.waitFor(mistake.words)
        guard mistake.isServed else {
            #expect(server.wait() == 1)
            let sentence = "\nError: the driver did not start: UserStartController "
            return #expect(server.errors.contains(sentence), "\(server.errors)")
        }
        try server.waitFor("ready: ")
        #expect(server.stop() == 0, "\(server.errors)")
    }

    @Test("names a call that never returns, while the server waits for it")
    func neverReturns() throws {
        let directory = TemporaryDirectory()
        let server = try serve(faulty(Mistake("never-returns", "B06"), in: directory), in: directory)
        try server.waitFor("B06")
        #expect(server.stop() == 0, "\(server.errors)")
    }

    private func faulty(_ mistake: Mistake, in directory: TemporaryDirectory) throws -> String {
        // The key that follows is nobody's.
        try bundle(in: directory, "<key>KitMistake</key><string>\(mistake.name)</string><key>NoKitChecks</key>")
    }

    /// The numbers of the faults in a server's words, each once and in their order.
    private func faults(_ text: String) -> [String] {
        var found: [String] = []
        for line in text.split(separator: "\n") where line.hasPrefix("driver ") {
            guard let number = line.split(separator: " ").dropFirst(2).first?.dropLast() else { continue }
            if !found.contains(String(number)) { found.append(String(number)) }
        }
        return found
    }
}
