import Foundation
import Platform
import TestSupport
import TestTraits
import Testing

@Suite("nbdext bench", .serialized, .needsCore, .slow)
struct BenchTests {
    @Test("options that make no sense are refused at once")
    func refusals() throws {
        func refuse(_ arguments: [String], saying text: String) throws {
            let result = try Shell.run(nbdext, ["bench"] + arguments)
            #expect(result.status != 0 && result.errors.contains(text), "\(arguments): \(result.errors)")
        }
        try refuse(["--size", "1M"], saying: "--size is from 64M")
        try refuse(["--rounds", "0"], saying: "--rounds is from 1")
        try refuse(["--seconds", "0"], saying: "--seconds is from")
        try refuse(["--only", "8 KiB"], saying: "4 KiB random read")
        try refuse(["--directory", "/nonexistent"], saying: "cannot open the directory /nonexistent")
        try refuse(["--html", "/nonexistent/a.html"], saying: "cannot write to /nonexistent/a.html")
        try refuse(["--size", "1T"], saying: "use a smaller --size")
        try refuse(["--card"], saying: "name a driver, or leave it out")
        try refuse(["--dext", "x.dext", "--html", "x.html"], saying: "leave out --driver and --dext")
        try refuse(["--dext", "/nowhere.dext"], saying: "/nowhere.dext does not exist")
    }

    @Test("all configurations are measured, bundles are counted, and nothing is left behind")
    func measures() throws {
        let directory = TemporaryDirectory()
        let page = directory.path + "/report.html"
        let arrays = directory.path + "/arrays"
        try FileManager.default.createDirectory(atPath: arrays, withIntermediateDirectories: true)
        let result = try Shell.run(
            nbdext,
            [
                "bench", "--size", "64M", "--seconds", "0.05", "--rounds", "1", "--only", "4 KiB random read", "--json",
                "--html", page, "--directory", arrays,
            ])
        #expect(result.status == 0, "\(result.errors)")
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
        let cells = try #require(object["results"] as? [[String: Any]])
        #expect(cells.count == 15)
        #expect(object["errors"] as? Int == 0)
        for cell in cells {
            let bundles = try #require(cell["bundles"] as? [String: Int])
            #expect(bundles.values.reduce(0, +) > 0)
            if cell["mode"] as? String != "bundled" { #expect(bundles["1"] == bundles.values.reduce(0, +)) }
            #expect((cell["iops"] as? Double ?? 0) > 0)
        }
        #expect(try String(contentsOfFile: page, encoding: .utf8).contains("</html>"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: arrays).isEmpty)
    }

    @Test("drivers of the user's are measured by both routes, in Swift and in C++")
    func drivers() throws {
        let directory = TemporaryDirectory()
        let bundle = try DextTests.bundle.get()
        let result = try Shell.run(
            nbdext,
            [
                "bench", "--seconds", "0.05", "--rounds", "1", "--only", "4 KiB random read", "--json", "--driver",
                ExampleDriver.built.get(), "--dext", bundle, "--directory", directory.path,
            ])
        #expect(result.status == 0, "\(result.errors)")
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
        let cells = try #require(object["results"] as? [[String: Any]])
        #expect(cells.count == 12 && object["errors"] as? Int == 0 && object["size"] == nil)
        #expect(Set(cells.compactMap { $0["driver"] as? String }) == ["MyFirstDext", "MyFirstDextCPP.dext"])
        #expect(cells.allSatisfy { $0["iops"] as? Double ?? 0 > 0 }, "\(result.output)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    }

    @Test("SIGTERM ends the servers and removes the arrays")
    func interrupted() throws {
        let directory = TemporaryDirectory()
        let bench = try Program(nbdext, ["bench", "--size", "64M", "--directory", directory.path])
        #expect(eventually { !bench.errors.isEmpty })
        #expect(bench.stop() == 128 + 15)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
    }
}
