import ArrayStore
import Glibc
import RAID

/// A small array in a directory of its own, which goes away with its owner.
final class TestArray {
    static let byteCount: UInt64 = 32 << 20
    let directory: String

    init(level: RAIDLevel, name: String = "test") throws {
        var template = Array("/tmp/nbdext-tests-XXXXXX".utf8CString)
        directory = mkdtemp(&template).map { String(cString: $0) }!
        let plan = ArrayStore.Plan(
            level: level, memberCount: 3, byteCount: Self.byteCount, chunkByteCount: 64 << 10, name: name)
        _ = try ArrayStore.create(directory: directory, plan: plan, force: true)
    }

    /// Takes the second member away.
    func removeMember() { unlink("\(directory)/\(files.sorted()[1])") }

    private var files: [String] {
        var names: [String] = []
        guard let list = opendir(directory) else { return [] }
        defer { closedir(list) }
        while let entry = readdir(list) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    deinit {
        for name in files { unlink("\(directory)/\(name)") }
        rmdir(directory)
    }
}
