import ArrayStore
import Glibc
import Platform
import RAID
import Synchronization
import TestSupport
import TestTraits
import Testing

/// Somebody else may write to a directory, and has put something there first.
@Suite("Planted files", .blocks)
struct PlantedFileTests {
    private let directory = TemporaryDirectory()
    private var victim: String { "\(directory.path)/victim.txt" }
    private var array: String { "\(directory.path)/a" }

    init() throws {
        close(try OpenDirectory(directory.path).make("victim.txt"))
        directory.write(Array("precious".utf8), to: "victim.txt", at: 0)
    }

    private func make(_ members: [MemberLocation]? = nil, force: Bool = false) throws {
        let plan = ArrayStore.Plan(
            level: .raid5, members: members ?? (0..<3).map { .file("member-\($0).img") }, byteCount: 8 << 20,
            chunkByteCount: 65536, name: "a")
        _ = try ArrayStore.create(directory: array, plan: plan, force: force)
    }

    private func isUntouched() -> Bool {
        var information = stat()
        return stat(victim, &information) == 0 && information.st_size == 8
            && directory.read("victim.txt", at: 0, count: 8) == Array("precious".utf8)
    }

    private func kind(_ path: String) -> mode_t {
        var information = stat()
        return lstat(path, &information) == 0 ? information.st_mode : 0
    }

    @Test("a member that is made is not written through a link in the place of its temporary file")
    func create() throws {
        mkdir(array, 0o777)
        mkdir("\(directory.path)/elsewhere", 0o777)
        symlink(victim, "\(array)/.member-1.img.new")
        symlink(victim, "\(directory.path)/elsewhere/.m.img.new")
        try make([.file("member-0.img"), .file("member-1.img"), .file("\(directory.path)/elsewhere/m.img")])
        #expect(isUntouched())
        for path in ["\(array)/member-1.img", "\(directory.path)/elsewhere/m.img"] {
            #expect(kind(path) == S_IFREG | 0o600)
        }
        #expect(try ArrayStore.examine(directory: array).stateText == "clean")
    }

    @Test("a directory in the place of the temporary file is an error, and stays")
    func directoryInPlace() throws {
        mkdir(array, 0o777)
        mkdir("\(array)/.member-1.img.new", 0o777)
        #expect(throws: ArrayStoreError.self) { try make() }
        #expect(try Directory.names(in: array) == [".member-1.img.new"])
    }

    @Test("a member that is added is not made through a link", arguments: ["victim.txt", "nowhere"])
    func add(target: String) throws {
        try make()
        let opened = try ArrayStore.open(directory: array, readOnly: false)
        symlink("\(directory.path)/\(target)", "\(array)/member-7.img")
        #expect(throws: ArrayStoreError.self) { try ArrayStore.add(named: "member-7.img", to: opened) }
        #expect(isUntouched())
        #expect(kind("\(directory.path)/nowhere") == 0)
        #expect(kind("\(array)/member-7.img") & S_IFMT == S_IFLNK)
    }

    @Test("how far a check is, is not written through links in the place of its file")
    func job() throws {
        try make()
        let opened = try ArrayStore.open(directory: array, readOnly: false)
        symlink(victim, "\(array)/.nbdext-job")
        symlink(victim, "\(array)/.nbdext-job.new")
        opened.keep(MaintenanceRecord(job: .check, position: 65536, wrongByteCount: 0, wrongPlaces: []))
        #expect(isUntouched())
        #expect(kind("\(array)/.nbdext-job") == S_IFREG | 0o600)
        withExtendedLifetime(opened) {}
    }

    @Test("a directory that is made is the owner's alone, whatever the umask is")
    func rights() throws {
        try make()
        #expect(kind(array) == S_IFDIR | 0o700)
    }

    /// Takes messages. Any thread.
    private final class Messages: Sendable {
        let list = Mutex<[String]>([])
    }

    @Test("a directory that others may write to is told of, and served")
    func warning() throws {
        try make()
        func warnings(_ mode: mode_t) throws -> [String] {
            chmod(array, mode)
            let messages = Messages()
            let environment = ArrayStore.Environment(
                clock: { 0 }, report: { text, _ in messages.list.withLock { $0.append(text) } })
            _ = try ArrayStore.open(directory: array, readOnly: true, in: environment)
            return messages.list.withLock { $0 }
        }
        #expect(try warnings(0o755) == [])
        let told = try warnings(0o1777)
        #expect(told.count == 1 && told[0].contains("may be written to by everybody"), "\(told)")
    }
}
