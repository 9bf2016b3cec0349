import Foundation
import TestTraits
import Testing

/// Runs a command of the program that must succeed.
@discardableResult
func succeed(_ arguments: String...) throws -> String {
    let result = try Shell.run(nbdext, arguments)
    #expect(result.status == 0, "\(arguments.joined(separator: " ")): \(result.output)\(result.errors)")
    return result.output
}

extension ServedArray {
    /// Fills the start with random bytes, and gives them.
    func fill(mebibytes: Int) throws -> Data {
        let source = directory.path + "/source"
        let data = try #require(FileHandle(forReadingAtPath: "/dev/urandom")).readData(ofLength: mebibytes << 20)
        try data.write(to: URL(fileURLWithPath: source))
        let result = try Shell.run("nbdcopy", [source, uri])
        #expect(result.status == 0, "\(result.errors)")
        return data
    }

    /// Expects bytes at the start.
    func expect(_ data: Data, _ what: String) throws {
        let copy = directory.path + "/copy"
        let result = try Shell.run("nbdcopy", [uri, copy])
        #expect(result.status == 0, "\(what): \(result.errors)")
        let found = try Data(contentsOf: URL(fileURLWithPath: copy)).prefix(data.count)
        #expect(found == data, "\(what): the array does not hold what was written")
    }
}
