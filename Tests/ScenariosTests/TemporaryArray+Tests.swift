import ArrayStore
import Glibc
import MDFormat
import RAID

extension TemporaryArray {
    /// What the tests here work on.
    convenience init(level: RAIDLevel, name: String = "test") throws {
        try self.init(name: name, level: level, byteCount: 32 << 20)
    }

    /// Takes the second member away.
    func removeMember() { unlink("\(directory)/member-1.img") }
}
