import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

@Suite("Bad input", .serialized, .blocks, .slow)
struct BadInputTests {
    private let directory = TemporaryDirectory()

    /// Expects one sentence on standard error, a failure, and nothing changed under the directory.
    /// - Returns: what was said.
    @discardableResult
    private func refuse(_ arguments: [String], saying expected: String) throws -> String {
        let before = try contents()
        let result = try Shell.run(nbdext, arguments)
        #expect(result.status != 0, "\(arguments) succeeded")
        #expect(result.errors.contains(expected), "\(arguments) said: \(result.errors)")
        #expect(try contents() == before, "\(arguments) changed something")
        return result.errors
    }

    /// Every file's name, size and first MiB.
    private func contents() throws -> [String: Data] {
        var contents: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: directory.path) {
            guard let file = FileHandle(forReadingAtPath: "\(directory.path)/\(name)") else { continue }
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(directory.path)/\(name)")
            guard attributes[.type] as? FileAttributeType == .typeRegular else { continue }
            let size = withUnsafeBytes(of: attributes[.size] as? UInt64 ?? 0) { Data($0) }
            contents[name] = size + (try file.read(upToCount: 1 << 20) ?? Data())
        }
        return contents
    }

    private func create(_ name: String, level: Int = 5, members: Int = 3) throws -> String {
        let path = "\(directory.path)/\(name)"
        let result = try Shell.run(
            nbdext, ["create", path, "--level", "\(level)", "--members", "\(members)", "--size", "4M"])
        #expect(result.status == 0, "\(result.errors)")
        return path
    }

    @Test("impossible arrays")
    func impossibleArrays() throws {
        let path = "\(directory.path)/new"
        func create(_ more: String...) -> [String] { ["create", path, "--size", "4M"] + more }
        try refuse(create("--level", "5", "--members", "2"), saying: "RAID 5 needs at least 3 members")
        try refuse(create("--level", "0", "--members", "1"), saying: "RAID 0 needs at least 2 members")
        try refuse(create("--level", "6", "--members", "4"), saying: "RAID level 6 is not supported")
        try refuse(create("--level", "5", "--members", "40"), saying: "at most 32 members")
        try refuse(create("--level", "5", "--members", "3", "--chunk", "5000"), saying: "power of two")
        try refuse(create("--level", "5", "--members", "3", "--chunk", "1K"), saying: "power of two")
        try refuse(create("--level", "5", "--members", "3", "--name", "a/b"), saying: "cannot be an array's name")
        try refuse(create("--level", "5", "--members", "3", "--colour", "red"), saying: "Unknown option '--colour'")
        try refuse(["create", path, "--level", "5", "--members", "3", "--size", "lots"], saying: "size")
        try refuse(["create", path, "--level", "5", "--members", "3", "--size", "1K"], saying: "at least one stripe")
        let huge = try refuse(
            ["create", path, "--level", "0", "--members", "2", "--size", "900P"], saying: "use a smaller --size")
        #expect(huge.contains("\(path)/member-0.img:"), "\(huge)")
        #expect(!FileManager.default.fileExists(atPath: path), "an empty directory is left")
    }

    @Test("a wrong use is answered with the subcommand's own usage")
    func usage() throws {
        let path = "\(directory.path)/new"
        for (arguments, words) in [
            (["create", path, "--level", "5", "--size", "4M"], "give the number of members"),
            (["create", path, "--level", "6", "--members", "4", "--size", "4M"], "RAID level 6 is not supported"),
            (["serve"], "name an array's directory"), (["serve", path], "nowhere to listen"),
            (["serve", path, "--socket", "s", "--driver-argument", "x"], "--driver-argument is for the program"),
            (["power-cut"], "name the server"), (["scenario", "run"], "name a scenario"),
            (["scenario", "run", "none"], "there is no scenario none"),
        ] {
            let errors = try refuse(arguments, saying: words)
            let command = arguments.prefix(arguments[0] == "scenario" ? 2 : 1).joined(separator: " ")
            #expect(errors.contains("Usage: nbdext \(command) "), "\(errors)")
        }
        let errors = try refuse(["explain", "--size", "0"], saying: "a request of 0 bytes")
        #expect(!errors.contains("Usage"))
    }

    @Test("an array that is there is not overwritten without --force")
    func overwrite() throws {
        let path = try create("a")
        try refuse(
            ["create", path, "--level", "0", "--members", "2", "--size", "4M"], saying: "already holds an array")
        let forced = try Shell.run(
            nbdext, ["create", path, "--level", "0", "--members", "2", "--size", "4M", "--force"])
        #expect(forced.status == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: path).sorted() == ["member-0.img", "member-1.img"])
    }

    @Test("nothing to serve, or nowhere")
    func serving() throws {
        let path = try create("a")
        let socket = "\(directory.path)/s"
        try refuse(["serve", "\(directory.path)/none", "--socket", socket], saying: "cannot open the directory")
        try refuse(["serve", directory.path, "--socket", socket], saying: "holds no array")
        try refuse(["serve", path], saying: "nowhere to listen")
        try refuse(["serve", path, "--listen", "here"], saying: "is not HOST:PORT")
        try refuse(["serve", path, "--socket", socket, "--mode", "fast"], saying: "mode")
        try refuse(["status", "\(directory.path)/none"], saying: "cannot open the directory")
        try refuse(["serve", path, "\(path)/", "--socket", socket], saying: "\(path)/ is named twice")
        let many = (0..<63).map { "\(directory.path)/\($0)" }
        try refuse(["serve"] + many + ["--socket", socket], saying: "a server has at most 62 arrays")
    }

    @Test("members that were cut short, mixed, copied, damaged or lost")
    func members() throws {
        let path = try create("a")
        let other = try create("b")
        let serve = ["serve", path, "--socket", "\(directory.path)/s"]
        let files = FileManager.default

        try files.copyItem(atPath: "\(other)/member-0.img", toPath: "\(path)/stray.img")
        try refuse(serve, saying: "belong to different arrays")
        try files.removeItem(atPath: "\(path)/stray.img")

        try files.copyItem(atPath: "\(path)/member-0.img", toPath: "\(path)/copy.img")
        try refuse(serve, saying: "are the same member")
        try files.removeItem(atPath: "\(path)/copy.img")

        let member = try #require(FileHandle(forUpdatingAtPath: "\(path)/member-1.img"))
        let size = try member.seekToEnd()
        try member.truncate(atOffset: size - 4096)
        // Such members are left out, as md leaves them out.
        let status = { try Shell.run(nbdext, ["status", path]).output }
        #expect(try status().contains("was cut short"))
        try member.truncate(atOffset: size)
        #expect(try status().contains("state    clean"))

        try member.seek(toOffset: 4096 + 100)
        try member.write(contentsOf: Data([1, 2, 3]))
        #expect(try status().contains("damaged (wrong checksum)"))
        #expect(try status().contains("state    degraded"))
        try files.removeItem(atPath: "\(path)/member-1.img")
        try files.removeItem(atPath: "\(path)/member-2.img")
        try refuse(serve, saying: "lacks member 1, 2")
    }

    @Test("an array that is served already, and an address that is taken")
    func taken() throws {
        let array = try ServedArray(level: 5, members: 3)
        try array.start(["--listen", "localhost:0"])
        let second = try Shell.run(nbdext, ["serve", array.arrayPath, "--socket", array.socket + "2"])
        #expect(second.status != 0)
        #expect(second.errors.contains("is in use by another process"), "\(second.errors)")

        let path = try create("a")
        let busy = try Shell.run(nbdext, ["serve", path, "--socket", array.socket])
        #expect(busy.status != 0)
        #expect(busy.errors.contains("is in use; choose another path"), "\(busy.errors)")
        // It had the array for a moment, and left it clean.
        #expect(try Shell.run(nbdext, ["status", path]).output.contains("state    clean"))
        #expect(array.stop() == 0)
    }

    @Test("a stale socket file is replaced")
    func staleSocket() throws {
        let array = try ServedArray(level: 0, members: 2)
        try array.start()
        array.kill()
        #expect(FileManager.default.fileExists(atPath: array.socket))
        try array.start()
        #expect(array.stop() == 0)
        #expect(!FileManager.default.fileExists(atPath: array.socket))
    }

    @Test("README and --help name the same options")
    func help() throws {
        let readme = try String(
            contentsOf: checkout.appendingPathComponent("README.md"), encoding: .utf8)
        let section = try #require(readme.components(separatedBy: "\n## ").first { $0.hasPrefix("Commands\n") })
        let documented = Set(section.matches(of: /--[a-z][a-z-]*/).map { String($0.output) })
        let commands = [
            ["create"], ["serve"], ["status"], ["rename"], ["explain"], ["ioreg"], ["scenario", "list"],
            ["scenario", "run"], ["power-cut"], ["top"], ["fail"], ["remove"], ["add"], ["check"], ["repair"],
            ["cancel"], ["bench"],
            ["check-driver"], ["dext", "build"],
        ]
        var offered: Set<String> = []
        for command in commands {
            #expect(section.contains("nbdext \(command.joined(separator: " "))"), "README does not show \(command)")
            let help = try Shell.run(nbdext, command + ["--help"]).output
            offered.formUnion(help.matches(of: /--[a-z][a-z-]*/).map { String($0.output) })
        }
        offered.subtract(["--version", "--help"])
        #expect(documented.subtracting(offered).isEmpty, "README names options that there are not")
        #expect(offered.subtracting(documented).isEmpty, "README does not name options that there are")
    }
}
