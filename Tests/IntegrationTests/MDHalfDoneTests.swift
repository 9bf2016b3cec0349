import Foundation
import MDFormat
import Platform
import RAID
import TestSupport
import TestTraits
import Testing

/// md's own changes of shape, cut in two as a crash between two superblocks does, finished or undone by us, and judged
/// by md.
@Suite("Half-done changes of Linux md's", .serialized, .busy, .kernel)
struct MDHalfDoneTests {
    private static let isAvailable = UserModeLinux.isAvailable && Shell.has("mdadm", "losetup", "nbdcopy")

    /// The members of one array, and superblocks of another moment.
    private struct Members {
        let path: String

        func superblock(_ index: Int) throws -> MDSuperblock {
            let file = try #require(FileHandle(forReadingAtPath: "\(path)/m\(index).img"))
            try file.seek(toOffset: 4096)
            return try MDSuperblock(parsing: Array(try file.read(upToCount: 4096) ?? Data()))
        }

        func otherSuperblock(_ index: Int) throws -> MDSuperblock {
            let url = URL(fileURLWithPath: "\(path)/m\(index).superblock")
            return try MDSuperblock(parsing: Array(try Data(contentsOf: url)))
        }

        func write(_ superblock: MDSuperblock, to index: Int) throws {
            var sealed = superblock
            sealed.seal()
            let file = try #require(FileHandle(forUpdatingAtPath: "\(path)/m\(index).img"))
            try file.seek(toOffset: 4096)
            try file.write(contentsOf: Data(sealed.bytes))
            try file.close()
        }
    }

    private func digest(servedFrom path: String) throws -> String {
        let served = ServedArray(existing: path)
        try served.start()
        let result = try Shell.run("bash", ["-c", "set -o pipefail; nbdcopy '\(served.uri)' - | sha256sum"])
        #expect(result.status == 0 && served.stop() == 0, "\(result.errors)\(served.errors)")
        return String(result.output.prefix(64))
    }

    @Test(
        "a checkpoint, a new size, the begin and the end of a reshape come right, and md finds the same",
        .enabled(if: isAvailable, "user-mode-linux, mdadm, libnbd-bin or kmod is missing"))
    func halves() throws {
        let exchange = TemporaryDirectory()
        let made = try UserModeLinux.judge("md-half-done.sh", exchange: exchange.path)
        var digests: [String: String] = [:]
        /// Serves a case under a name, after `change` has cut it in two.
        func serve(_ source: String, as name: String, _ change: (Members) throws -> Void) throws {
            let path = "\(exchange.path)/ours/\(name)"
            try Shell.run(
                "bash", ["-c", "mkdir -p '\(path)' && cp '\(exchange.path)/theirs/\(source)'/* '\(path)'"])
            try change(Members(path: path))
            let digest = try digest(servedFrom: path)
            #expect(digest == made[source]?["sha"], "\(name)")
            digests[name] = digest
            _ = FileManager.default.createFile(atPath: "\(path)/clean", contents: nil)
        }
        try serve("grown", as: "raid5-checkpoint") { members in
            let superblock = try members.superblock(0)
            #expect(!superblock.isClean && superblock.resyncOffset > 0, "\(superblock.resyncOffset)")
        }
        try serve("grown", as: "raid5-half-grown") { members in
            // md may have written superblocks while the files were copied.
            let newest = try [1, 2].map { try members.superblock($0) }.max { $0.events < $1.events }!
            var old = try members.otherSuperblock(0)
            #expect(old.usedSectors < newest.usedSectors)
            old.events = newest.events - 1
            try members.write(old, to: 0)
        }
        try serve("end", as: "raid5-half-ended") { members in
            let newest = try members.superblock(1)
            for index in [0, 2] {
                var old = try members.otherSuperblock(index)
                #expect(old.reshape != nil && old.withReshapeFinished.hasSamePlaces(as: newest))
                old.events = newest.events - 1
                try members.write(old, to: index)
            }
        }
        try serve("begin", as: "raid5-half-begun") { members in
            let old = try members.superblock(0)
            for index in [1, 2] {
                var begun = try members.otherSuperblock(index)
                #expect(begun.reshape != nil && begun.memberCount == 4)
                begun.reshape?.position = 0
                begun.events = old.events + 1
                try members.write(begun, to: index)
            }
        }
        let findings = try UserModeLinux.judge("md-judge-ours.sh", exchange: exchange.path)
        for (name, digest) in digests {
            let finding = try #require(findings[name], "\(name) was not judged")
            #expect(finding["before"] == digest && finding["after"] == digest, "\(name): \(finding)")
            #expect(finding["mismatches"] == "0" && finding["examine"] == "ok", "\(name): \(finding)")
        }
    }
}
