import Glibc
import Platform
import TestTraits
import Testing

@Suite("Files in directories that others may write to", .blocks)
struct OpenDirectoryTests {
    private let temporary: TemporaryDirectory
    private var path: String { temporary.path }

    init() throws { temporary = try TemporaryDirectory(name: "test") }

    private func text(_ name: String) -> String? {
        let file = open("\(path)/\(name)", O_RDONLY)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 100)
        return String(decoding: bytes[..<max(read(file, &bytes, 100), 0)], as: UTF8.self)
    }

    private func write(_ text: String, to name: String) {
        let file = open("\(path)/\(name)", O_WRONLY | O_CREAT, 0o644)
        _ = Glibc.write(file, text, text.utf8.count)
        close(file)
    }

    private func information(_ name: String) -> stat {
        var information = stat()
        lstat("\(path)/\(name)", &information)
        return information
    }

    @Test("a file that is made follows no link, and takes no file that is there")
    func make() throws {
        let directory = try OpenDirectory(path)
        write("precious", to: "victim")
        symlink("victim", "\(path)/link")
        symlink("nowhere", "\(path)/dangling")
        for name in ["victim", "link", "dangling"] {
            let error = #expect(throws: OSError.self) { close(try directory.make(name)) }
            #expect(error?.code == EEXIST)
        }
        for name in ["victim2", "link", "dangling"] {
            let file = try directory.makeTemporary(name)
            _ = Glibc.write(file, "new", 3)
            close(file)
            #expect(text(name) == "new")
            #expect(information(name).st_mode & S_IFMT == S_IFREG && information(name).st_mode & 0o777 == 0o600)
        }
        #expect(text("victim") == "precious")
        #expect(text("nowhere") == nil)
        try directory.rename("link", to: "other")
        #expect(text("other") == "new" && text("link") == nil)
    }

    @Test("a directory that is renamed stays the one that was opened")
    func renamed() throws {
        defer {
            Directory.remove(path)
            Directory.remove(path + "-elsewhere")
        }
        let directory = try OpenDirectory(path)
        rename(path, path + "-elsewhere")
        mkdir(path, 0o755)
        close(try directory.make("new"))
        #expect(text("new") == nil)
        #expect(try Directory.names(in: path + "-elsewhere") == ["new"])
    }

    @Test("output goes to a new file, to the user's own, and to what is no file")
    func output() throws {
        for content in ["one", "2"] {
            let file = try OpenDirectory.openOutput(path: "\(path)/out")
            _ = Glibc.write(file, content, content.utf8.count)
            close(file)
            #expect(text("out") == content)
            #expect(information("out").st_mode & 0o777 == 0o600)
        }
        close(try OpenDirectory.openOutput(path: "/dev/null"))
    }

    @Test("output goes neither through a link nor to a file that has other names or is somebody else's")
    func plantedOutput() throws {
        write("precious", to: "victim")
        symlink("victim", "\(path)/link")
        symlink("nowhere", "\(path)/dangling")
        link("\(path)/victim", "\(path)/hard")
        for (name, code) in [("link", ELOOP), ("dangling", ELOOP), ("hard", EACCES)] {
            let error = #expect(throws: OSError.self) { close(try OpenDirectory.openOutput(path: "\(path)/\(name)")) }
            #expect(error?.code == code)
        }
        if geteuid() == 0 {
            write("theirs", to: "foreign")
            chown("\(path)/foreign", 65534, 65534)
            #expect(throws: OSError.self) { close(try OpenDirectory.openOutput(path: "\(path)/foreign")) }
            #expect(text("foreign") == "theirs")
        }
        #expect(text("victim") == "precious" && text("nowhere") == nil)
    }

    @Test("who else may write there is known")
    func otherWriters() throws {
        func others(_ mode: mode_t, safe: Bool = false) throws -> String? {
            chmod(path, mode)
            return try OpenDirectory(path).otherWriters(othersFilesAreSafe: safe)
        }
        #expect(try others(0o755) == nil)
        #expect(try others(0o775) == nil, "a group of one's own")
        #expect(try others(0o777) == "everybody")
        #expect(try others(0o1777) == "everybody")
        #expect(try others(0o1777, safe: true) == nil)
        guard geteuid() == 0 else { return }
        chown(path, 0, 65534)
        #expect(try others(0o775) == "group 65534")
        chown(path, 65534, 0)
        #expect(try others(0o755, safe: true) == "user 65534, whose it is")
    }
}
