import ArrayStore
import Glibc
import Platform
import RAID
import TestSupport
import TestTraits
import Testing

@Suite("Members that a file names", .blocks)
struct LinkedMemberTests {
    private let directory = TemporaryDirectory()

    private func plan(_ members: [MemberLocation]) -> ArrayStore.Plan {
        ArrayStore.Plan(level: .raid5, members: members, byteCount: 8 << 20, chunkByteCount: 65536, name: "a")
    }

    private func put(_ text: String, in name: String) {
        let descriptor = open("\(directory.path)/\(name)", O_RDWR | O_CREAT, 0o600)
        let bytes = Array(text.utf8)
        Glibc.write(descriptor, bytes, bytes.count)
        close(descriptor)
    }

    @Test("places are told apart")
    func places() {
        #expect(MemberLocation("nbd://host/export") == .export(uri: "nbd://host/export"))
        #expect(MemberLocation("nbds+unix:///?socket=/s") == .export(uri: "nbds+unix:///?socket=/s"))
        #expect(MemberLocation("nbd") == .file("nbd"))
        #expect(MemberLocation("/srv/nbd.img") == .file("/srv/nbd.img"))
    }

    @Test("a server that is not there is a missing member")
    func missing() throws {
        _ = try ArrayStore.create(
            directory: directory.path, plan: plan([.file("a"), .file("b"), .file("c")]), force: false)
        #expect(directory.names() == ["a", "b", "c"])
        unlink("\(directory.path)/b")
        put("nbd+unix:///?socket=/nonexistent\nanything\n", in: "b.nbd")
        let status = try ArrayStore.examine(directory: directory.path)
        #expect(status.stateText == "degraded")
        let absent = try #require(status.members.first { $0.path == "nbd+unix:///?socket=/nonexistent" })
        #expect(absent.role == nil)
        #expect(absent.state.hasPrefix("not reachable: "))
        let messages = Messages()
        let array = try ArrayStore.open(directory: directory.path, readOnly: false, in: messages.environment)
        #expect(array.missingRole == 1)
        #expect(messages.all.contains { $0.contains("/nonexistent is left out: not reachable: ") })
        // The export cannot be locked, but a directory of such files is served once.
        let link = try MemberFile(path: "\(directory.path)/b.nbd", readOnly: false)
        #expect(throws: ArrayStoreError.self) { try withExtendedLifetime(array) { try link.lock() } }
    }

    @Test("a file that says nothing is named")
    func nothing() throws {
        for text in ["", "\n", "http://host/export\n", "\u{7F}ELF"] {
            unlink("\(directory.path)/x.nbd")
            put(text, in: "x.nbd")
            let error = #expect(throws: ArrayStoreError.self) { _ = try ArrayStore.examine(directory: directory.path) }
            #expect(error?.description.contains("x.nbd: does not say where its member is") == true)
        }
    }

    @Test("a member elsewhere is reached by a link, and goes with --force only")
    func elsewhere() throws {
        let other = TemporaryDirectory()
        let members: [MemberLocation] = [.file("a"), .file("\(other.path)/x"), .file("c")]
        _ = try ArrayStore.create(directory: directory.path, plan: plan(members), force: false)
        #expect(directory.names() == ["a", "c", "member-1.img"])
        #expect(other.names() == ["x"])
        #expect(try ArrayStore.examine(directory: directory.path).stateText == "clean")
        let second = TemporaryDirectory()
        #expect(throws: ArrayStoreError.self) {
            _ = try ArrayStore.create(directory: second.path, plan: plan(members), force: false)
        }
        #expect(second.names() == [])
        _ = try ArrayStore.create(directory: directory.path, plan: plan(members), force: true)
        #expect(try ArrayStore.examine(directory: directory.path).stateText == "clean")
    }

    @Test("an export that is a member is not added by another file that names it")
    func addedTwice() throws {
        let uri = "nbd+unix:///?socket=/nonexistent"
        let plan = ArrayStore.Plan(
            level: .raid5, memberCount: 3, byteCount: 256 << 10, chunkByteCount: 4096, name: "a")
        let members = ["m0", "m1", uri].map {
            MemoryMember(name: $0, bytes: Array(repeating: 0, count: Int(plan.memberByteCount)))
        }
        var generator = SystemRandomNumberGenerator()
        try ArrayStore.format(members, plan: plan, time: 1, using: &generator)
        let array = try ArrayStore.open(
            members: members, directory: directory.path, readOnly: false, in: Messages().environment)
        put(uri + "\n", in: "other.nbd")
        for name in ["other.nbd", uri] {
            let error = #expect(throws: ArrayStoreError.self) { try ArrayStore.add(named: name, to: array) }
            #expect(error?.description == "\(uri) is a member of the array already")
        }
        #expect(directory.names() == ["other.nbd"])
    }

    @Test("impossible places are refused before anything is made")
    func impossible() throws {
        put("mine", in: "notes")
        for (place, words) in [
            (MemberLocation.file("notes"), "is not a member of an array; move it away"), (.file("a"), "is named twice"),
            (.file(".hidden"), "cannot be a member's name"), (.file("x.nbd"), "cannot be a member's name"),
            (.file("http://x/y"), "http://x/y is not an NBD URI"), (.file("/nonexistent/x"), "does not exist; make it"),
            (.file("\(directory.path)/a"), "is named twice"),
            (.export(uri: "nbd+unix:///?socket=/nonexistent"), "is not reachable: "),
        ] {
            let error = #expect(throws: ArrayStoreError.self) {
                _ = try ArrayStore.create(
                    directory: directory.path, plan: plan([.file("a"), .file("b"), place]), force: true)
            }
            #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
            #expect(directory.names() == ["notes"])
        }
        #expect(directory.read("notes", at: 0, count: 4) == Array("mine".utf8))
    }
}
