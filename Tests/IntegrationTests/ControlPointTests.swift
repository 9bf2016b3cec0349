import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

/// Commands find the server of an array by the array's directory alone.
@Suite(
    "Commands find the server of an array", .blocks, .slow,
    .enabled(if: Shell.has("qemu-io"), "qemu-io is not installed"))
struct ControlPointTests {
    private let directory = TemporaryDirectory()

    private func run(_ arguments: String...) throws -> Shell.Result { try Shell.run(nbdext, arguments) }

    private func create(_ name: String, _ more: [String] = []) throws -> String {
        let path = "\(directory.path)/\(name)"
        let result = try Shell.run(
            nbdext, ["create", path, "--level", "5", "--members", "3", "--size", "16M"] + more)
        #expect(result.status == 0, "\(result.errors)")
        return path
    }

    /// A server of arrays, until `body` returns.
    private func serve(
        _ arguments: [String], signal: Int32 = SIGTERM, _ body: () throws -> Void
    ) throws {
        let server = try Program(nbdext, ["serve"] + arguments + ["--socket", "\(directory.path)/s"])
        defer { server.stop(by: signal) }
        try server.waitFor("ready: ")
        #expect(server.output.hasPrefix("ready: "), "\(server.said)")
        try body()
    }

    private func exists(_ path: String) -> Bool { (try? FileManager.default.attributesOfItem(atPath: path)) != nil }

    @Test("also that of the second array, and with the control socket elsewhere", arguments: [false, true])
    func second(isElsewhere: Bool) throws {
        let first = try create("a")
        let second = try create("b")
        let socket = "\(directory.path)/c"
        try serve([first, second] + (isElsewhere ? ["--control", socket] : [])) {
            for (path, name) in [(first, "a"), (second, "b")] {
                let status = try run("status", path)
                #expect(status.status == 0)
                #expect(status.output.contains("array    \(name) in") && status.output.contains("served   by process"))
                #expect(try run("check", path).output.contains("the parity of \(name) is right everywhere"))
                #expect(try run("repair", path).status == 0)
                #expect(try run("cancel", path).errors.contains("of \(name) is under way"))
                #expect(try run("fail", path, "1").status == 0)
                let degraded = try run("status", path)
                #expect(degraded.status == 1 && degraded.output.contains("member 1 failed"), "\(degraded.output)")
                #expect(try run("remove", path, "member-1.img").status == 0)
                #expect(try run("add", path, "new.img").status == 0)
                #expect(try run("replace", path, "0", "newer.img").status == 0)
                #expect(try run("status", path).output.contains("member 0 active  \(path)/newer.img"))
                #expect(try run("top", path, "--prometheus").output.contains("nbdext_array_state{export=\"\(name)\""))
                #expect(try run("power-cut", path).status == 0)
            }
        }
        for path in [first, second] { #expect(!exists(path + "/nbdext.control")) }
        #expect(!exists(socket))
    }

    @Test("what a killed server leaves behind leads to nobody, and does not stay")
    func killed() throws {
        let first = try create("a")
        let second = try create("b")
        for arguments in [[first, second], [first, second, "--control", "\(directory.path)/c"], [second, first]] {
            try serve(arguments, signal: SIGKILL) {
                let status = try run("status", second)
                #expect(status.output.contains("served   by"), "\(status.errors)")
            }
            for path in [first, second] {
                #expect(exists(path + "/nbdext.control"))
                let status = try run("status", path)
                #expect(status.status == 0 && status.output.contains("serve    would serve it"), "\(status.output)")
                #expect(try run("check", path).errors.contains("no server listens on"))
            }
        }
        // A link to somebody who serves other arrays.
        try serve([first]) {
            try FileManager.default.removeItem(atPath: second + "/nbdext.control")
            try FileManager.default.createSymbolicLink(
                atPath: second + "/nbdext.control", withDestinationPath: first + "/nbdext.control")
            #expect(try run("status", second).output.contains("serve    would serve it"))
            #expect(try run("check", second).errors.contains("does not serve an array in"))
        }
    }

    @Test("in directories whose paths are longer than a socket's may be")
    func longPath() throws {
        let long = try create(String(repeating: "long", count: 30), ["--name", "long"])
        let other = try create("b")
        for arguments in [[long, other], [other, long]] {
            try serve(arguments) {
                for path in [long, other] {
                    let status = try run("status", path)
                    #expect(status.output.contains("served   by process"), "\(status.output)\(status.errors)")
                }
            }
            #expect(!exists(long + "/nbdext.control"))
        }
    }

    @Test("arrays of one name are served under other names, or renamed")
    func names() throws {
        let first = try create("a", ["--name", "host:same"])
        let second = try create("b", ["--name", "same"])
        let refused = try run("serve", first, second, "--socket", "\(directory.path)/s")
        #expect(refused.status != 0)
        #expect(refused.errors.contains("--name") && refused.errors.contains("nbdext rename"), "\(refused.errors)")
        #expect(!refused.errors.contains("create"), "\(refused.errors)")
        let many = try run("serve", first, "--name", "x", "--name", "y", "--socket", "\(directory.path)/s")
        #expect(many.status != 0 && many.errors.contains("more names than directories"), "\(many.errors)")
        try serve([first, second, "--name", "one", "--name", "two words"]) {
            for (path, name) in [(first, "one"), (second, "two words")] {
                #expect(try run("status", path).output.contains("array    \(name) in"))
                #expect(try run("check", path).output.contains("the parity of \(name) is right"))
            }
            let renamed = try run("rename", second, "other")
            #expect(renamed.status != 0 && renamed.errors.contains("is in use"), "\(renamed.errors)")
        }
        #expect(try run("status", first).output.contains("array    same in"))
        #expect(try run("rename", second, "other").status == 0)
        try serve([first, second]) {
            let status = try run("status", second)
            #expect(status.output.contains("array    other in"), "\(status.errors)")
        }
    }
}
