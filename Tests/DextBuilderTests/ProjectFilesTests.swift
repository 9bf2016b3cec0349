import DextBuilder
import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

@Suite("The files of a driver's project", .blocks)
struct ProjectFilesTests {
    /// A directory with these files, each with its own path as text unless another one is given.
    private func project(_ files: [String], texts: [String: String] = [:]) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory(name: "build")
        for file in files {
            let path = "\(directory.path)/\(file)"
            try FileManager.default.createDirectory(
                atPath: Directory.parent(of: path), withIntermediateDirectories: true)
            try TextFile.write(texts[file] ?? file, to: path)
        }
        return directory
    }

    @Test("are found below the directory, but not in products and hidden directories")
    func found() throws {
        let directory = try project([
            "Info.plist", "Disk.iig", "Disk.cpp", "lib/Helper.cc", "lib/Helper.hpp", "lib/deep/table.c", "README.md",
            "build/Old.cpp", "Disk.build/include/Disk.iig", "Disk.dext/Info.plist", ".git/x.cpp",
            "My.xcodeproj/p.cpp",
        ])
        let root = try #require(Directory.resolve(directory.path))
        let files = try ProjectFiles(below: directory.path)
        #expect(files.propertyList == "\(root)/Info.plist")
        #expect(files.interfaces == ["\(root)/Disk.iig"])
        #expect(files.sources == ["Disk.cpp", "lib/Helper.cc", "lib/deep/table.c"].map { "\(root)/\($0)" })
        #expect(files.headerDirectories == [root, "\(root)/lib"])
    }

    @Test("can be a list")
    func list() throws {
        let directory = try project(["Info.plist", "A.iig", "A.cpp", "B.cpp"])
        let root = try #require(Directory.resolve(directory.path))
        let files = try ProjectFiles(below: directory.path, only: ["\(root)/A.iig", "\(root)/A.cpp"])
        #expect(files.sources == ["\(root)/A.cpp"])
        let error = #expect(throws: OperationError.self) {
            try ProjectFiles(below: directory.path, only: ["\(root)/Info.plist"])
        }
        #expect(error?.description.contains("neither an interface file") == true)
    }

    @Test("have one Info.plist: in the directory, or the only one with personalities")
    func propertyLists() throws {
        let sources = ["dext/A.iig", "dext/A.cpp"]
        let several = try project(["app/Info.plist", "dext/Info.plist"] + sources)
        let error = #expect(throws: OperationError.self) { try ProjectFiles(below: several.path) }
        #expect(error?.description.contains("several Info.plist files") == true)
        let one = try project(
            ["app/Info.plist", "dext/Info.plist"] + sources,
            texts: ["dext/Info.plist": "<key>IOKitPersonalities</key>"])
        #expect(try ProjectFiles(below: one.path).propertyList.hasSuffix("/dext/Info.plist"))
    }

    @Test(
        "that cannot make a driver are refused with the reason",
        arguments: [
            (["A.iig", "A.cpp"], "has no Info.plist"), (["Info.plist", "A.cpp"], "has no interface file"),
            (["Info.plist", "A.iig"], "has no sources"),
        ])
    func refused(files: [String], text: String) throws {
        let directory = try project(files)
        let error = #expect(throws: OperationError.self) { try ProjectFiles(below: directory.path) }
        #expect(error?.description.contains(text) == true)
    }

    @Test("need a directory")
    func missing() throws {
        #expect(throws: OperationError.self) { try ProjectFiles(below: "/nowhere/at/all") }
        #expect(throws: OperationError.self) { try ProjectFiles(below: "/dev/null") }
    }
}
