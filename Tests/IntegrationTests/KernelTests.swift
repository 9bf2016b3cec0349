import Foundation
import TestTraits
import Testing

/// A real Linux kernel as a process: its NBD client, its file systems, and the server beside it.
@Suite("The Linux kernel", .serialized, .busy, .kernel)
struct KernelTests {
    private static let isAvailable =
        UserModeLinux.isAvailable && Shell.has("nbd-client", "mkfs.ext4", "qemu-io")

    /// Boots a script as init.
    private func boot(_ script: String) throws -> Shell.Result {
        let tree = checkout.appendingPathComponent("Sources").path
        return try UserModeLinux.boot(script, ["tree=\(tree)"])
    }

    @Test(
        "ext4 on /dev/nbd0 keeps a source tree over a restart and the loss of a member",
        .enabled(if: isAvailable, "user-mode-linux, nbd-client, e2fsprogs, kmod or qemu-utils is missing"))
    func fileSystem() throws {
        let result = try boot("filesystem.sh")
        #expect(result.output.contains("RESULT passed"), "\(result.output.suffix(3000))")
    }

    @Test(
        "a full disk under the members is ENOSPC to the client, and nothing acknowledged is lost",
        .enabled(if: isAvailable, "user-mode-linux, nbd-client, e2fsprogs, kmod or qemu-utils is missing"))
    func fullDisk() throws {
        let result = try boot("full-disk.sh")
        #expect(result.output.contains("RESULT passed"), "\(result.output.suffix(3000))")
    }

    @Test(
        "a member on a disk that goes bad costs clients nothing, and does not come back with old data",
        .enabled(
            if: isAvailable && Shell.has("dmsetup", "losetup"),
            "user-mode-linux, nbd-client, e2fsprogs, dmsetup, kmod or qemu-utils is missing"))
    func badDisk() throws {
        let result = try boot("bad-disk.sh")
        #expect(result.output.contains("RESULT passed"), "\(result.output.suffix(3000))")
    }

    @Test(
        "dd with direct I/O meets the limits that a profile sets, and EIO where they do not fit",
        .enabled(if: isAvailable, "user-mode-linux, nbd-client, e2fsprogs, kmod or qemu-utils is missing"))
    func transferLimits() throws {
        let result = try boot("transfer-limits.sh")
        #expect(result.output.contains("RESULT passed"), "\(result.output.suffix(3000))")
    }
}
