import Glibc
import Platform

/// The path of a program that is built beside the tests.
package func builtProgram(_ name: String) -> String {
    let tests = CommandLine.arguments[0]
    var directory = Directory.parent(of: Directory.resolve(tests) ?? tests)
    // An XCTest bundle may be a directory.
    while directory != "/", access("\(directory)/\(name)", F_OK) != 0 { directory = Directory.parent(of: directory) }
    return "\(directory)/\(name)"
}
