import ArrayStore
import Foundation
import MDFormat
import Platform
import RAID
import Statistics
import TestSupport
import TestTraits
import Testing

/// What lies in an array's directory and cannot be opened, or is there twice.
@Suite("Members that cannot be used", .blocks)
struct UnusableMemberTests {
    private let directory = TemporaryDirectory()
    private let messages = Messages()

    private func create(_ level: RAIDLevel = .raid5) throws {
        let plan = ArrayStore.Plan(
            level: level, memberCount: 3, byteCount: 8 << 20, chunkByteCount: 65536, name: "a")
        _ = try ArrayStore.create(directory: directory.path, plan: plan, force: false)
    }

    private func path(_ name: String) -> String { "\(directory.path)/\(name)" }

    private func open() throws -> OpenedArray {
        try ArrayStore.open(directory: directory.path, readOnly: false, in: messages.environment)
    }

    /// What stands in a member's place, and what is said of it.
    enum Obstacle: CaseIterable {
        case fifo, directory, danglingLink, linkLoop, device

        func put(at path: String) {
            switch self {
            case .fifo: mkfifo(path, 0o600)
            case .directory: mkdir(path, 0o700)
            case .danglingLink: symlink("/nonexistent/member", path)
            case .linkLoop: symlink(path, path)
            case .device: symlink("/dev/null", path)
            }
        }

        var words: String {
            switch self {
            case .fifo, .device, .directory: "is not a regular file"
            case .danglingLink: "cannot be opened: No such file or directory"
            case .linkLoop: "cannot be opened: Too many levels of symbolic links"
            }
        }
    }

    @Test("are left out, and nobody waits for them", arguments: Obstacle.allCases)
    func leftOut(obstacle: Obstacle) throws {
        try create()
        unlink(path("member-1.img"))
        obstacle.put(at: path("member-1.img"))
        let status = try ArrayStore.examine(directory: directory.path)
        #expect(status.state == .degraded && status.service == .possible)
        #expect(status.members.contains { $0.path == path("member-1.img") && $0.state == obstacle.words })
        let array = try open()
        #expect(array.missingRole == 1)
        #expect(
            messages.all.contains { $0.hasPrefix("\(path("member-1.img")) is left out: \(obstacle.words)") },
            "\(messages.all)")
        // The server says the same of it as somebody who looks.
        let served = array.view.description
        #expect(served.members.contains { $0.path == path("member-1.img") && $0.state == obstacle.words })
        #expect(served.members.contains { $0.role == 1 && $0.state == "missing" })
    }

    @Test("a file that may only be read is left out, and served with --read-only", .enabled(if: geteuid() != 0))
    func permissions() throws {
        try create()
        chmod(path("member-1.img"), 0o400)
        #expect(try ArrayStore.open(directory: directory.path, readOnly: true).missingRole == nil)
        #expect(try open().missingRole == 1)
        chmod(path("member-1.img"), 0)
        #expect(try ArrayStore.examine(directory: directory.path).state == .degraded)
    }

    @Test("what is no member is not told of")
    func others() throws {
        try create()
        mkdir(path("lost+found"), 0o700)
        let descriptor = Glibc.open(path("README"), O_CREAT | O_RDWR, 0o400)
        close(descriptor)
        #expect(try ArrayStore.examine(directory: directory.path).members.count == 3)
        _ = try open()
        #expect(messages.all == [])
    }

    @Test(
        "one file under two names is called that, by whoever serves it and by whoever looks", arguments: [true, false])
    func twoNames(isHardLink: Bool) throws {
        try create()
        if isHardLink {
            link(path("member-1.img"), path("x.img"))
        } else {
            symlink("member-1.img", path("x.img"))
        }
        let words = "is the same file as \(path("member-1.img")), under another name"
        let status = try ArrayStore.examine(directory: directory.path)
        #expect(status.state == .clean)
        #expect(status.members.contains { $0.path == path("x.img") && $0.state == words })
        let array = try open()
        #expect(messages.all == ["\(path("x.img")) is left out: \(words)"])
        // The same file in another array of this server.
        let other = TemporaryDirectory()
        for role in 0..<3 { symlink(path("member-\(role).img"), "\(other.path)/m\(role)") }
        let error = #expect(throws: ArrayStoreError.self) {
            _ = try ArrayStore.open(directory: other.path, readOnly: false)
        }
        #expect(error?.description.contains("it is a member of another array of this server") == true)
        withExtendedLifetime(array) {}
    }

    @Test("what serve would do is told")
    func prospects() throws {
        try create()
        func service() throws -> ArrayDescription.Service { try ArrayStore.examine(directory: directory.path).service }
        #expect(try service() == .possible)
        do {
            let array = try open()
            try array.markDirty()
            #expect(try service() == .locked)
            withExtendedLifetime(array) {}
        }
        unlink(path("member-1.img"))
        guard case .needsForce(let reason) = try service() else { throw ArrayStoreError("it would be served") }
        #expect(reason.contains("lacks member 1"))
        let status = try ArrayStore.examine(directory: directory.path)
        #expect(status.stateText == "degraded, dirty")
        unlink(path("member-2.img"))
        guard case .refused = try service() else { throw ArrayStoreError("it would be served") }
        #expect(try ArrayStore.examine(directory: directory.path).state == .failed)
    }

    @Test("a description comes back from its JSON as it was")
    func json() throws {
        try create()
        var description = try ArrayStore.examine(directory: directory.path)
        description.members[1].correctedReadErrorCount = 7
        for service in [
            ArrayDescription.Service.served(process: 42), .locked, .possible, .needsForce("a \"b\""), .refused("c"),
        ] {
            for (state, isDirty) in [
                (ArrayHealth.clean, true), (.degraded, false), (.degraded, true), (.failed, false),
            ] {
                description.service = service
                description.state = state
                description.isDirty = isDirty
                description.job = ArrayDescription.Job(
                    kind: "rebuild", member: 1, percent: 12, isRunning: false, reason: "no luck")
                let json = try JSONEncoder().encode(description)
                #expect(try JSONDecoder().decode(ArrayDescription.self, from: json) == description)
            }
        }
    }
}
