import Foundation
import Testing

/// A real Linux kernel as a process: its NBD client, its file systems, and the server beside it.
@Suite("The Linux kernel", .serialized)
struct KernelTests {
    private static let isAvailable =
        Shell.has("linux.uml", "nbd-client", "mkfs.ext4", "insmod", "qemu-io")
        && FileManager.default.fileExists(atPath: "/usr/lib/uml/modules")

    /// Boots a script as init.
    private func boot(_ script: String) throws -> Shell.Result {
        let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let tree = here.deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Sources").path
        return try Shell.run(
            "linux.uml",
            [
                "mem=1200M", "rootfstype=hostfs", "rootflags=/", "rw",
                "init=\(here.appendingPathComponent("UserModeLinux/\(script)").path)", "nbdext=\(nbdext)",
                "libraries=\(Self.runtimeLibraries)", "tree=\(tree)", "con=null", "con0=fd:0,fd:1", "con1=null",
                "quiet",
            ])
    }

    /// Where the Swift runtime is that the server was built with.
    private static let runtimeLibraries: String = {
        let swift = URL(fileURLWithPath: Shell.find("swift") ?? "/usr/bin/swift").resolvingSymlinksInPath()
        return swift.deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("lib/swift/linux").path
    }()

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
