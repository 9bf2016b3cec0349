import Foundation
import TestSupport

/// Runs programs.
enum Shell {
    struct Result {
        var status: Int32
        var output: String
        var errors: String
    }

    /// Runs a program to its end, and until everybody else whom it gave its standard output has ended.
    @discardableResult
    static func run(_ program: String, _ arguments: [String]) throws -> Result {
        let output = Pipe()
        let process = try Program(program, arguments, output: output.fileHandleForWriting)
        try output.fileHandleForWriting.close()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        return Result(status: process.wait(), output: String(decoding: data, as: UTF8.self), errors: process.errors)
    }

    /// Where a program is, or nil when it is not installed.
    static func find(_ program: String) -> String? {
        if program.contains("/") { return program }
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "") + ":/usr/sbin:/sbin"
        return path.split(separator: ":").map { "\($0)/\(program)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    static func has(_ programs: String...) -> Bool { programs.allSatisfy { find($0) != nil } }

    static func path(of program: String) throws -> String {
        guard let path = find(program) else { throw Missing(program: program) }
        return path
    }

    struct Missing: Error {
        var program: String
    }
}

/// The server's program: $NBDEXT_BINARY, or the one built beside the tests.
let nbdext = ProcessInfo.processInfo.environment["NBDEXT_BINARY"] ?? builtProgram("nbdext")

/// The checkout that the tests are of.
let checkout = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// Where programs under test keep what they can make again, so that what was made for the last tests need not be.
let testCaches = "\(checkout.path)/.build/caches"

/// Builds the bundle of a driver in C++, beside what was built of it for the last tests.
/// - Returns: its path.
func builtBundle(_ directory: String) throws -> String {
    let path = "\(checkout.path)/.build/\(URL(fileURLWithPath: directory).lastPathComponent).dext"
    let build = try Shell.run(nbdext, ["dext", "build", directory, "-o", path])
    guard build.status == 0 else { throw ExampleDriver.BuildFailure(output: build.output + build.errors) }
    return path
}

/// A program that is built beside the server's.
func sibling(_ name: String) -> String {
    URL(fileURLWithPath: nbdext).deletingLastPathComponent().appendingPathComponent(name).path
}
