package org.fhircds.hapi;

import ca.uhn.fhir.jpa.packages.IPackageInstallerSvc;
import ca.uhn.fhir.jpa.packages.PackageInstallOutcomeJson;
import ca.uhn.fhir.jpa.packages.PackageInstallationSpec;
import ca.uhn.fhir.jpa.packages.PackageInstallationSpec.InstallModeEnum;
import java.util.Arrays;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** HAPI's own package installer behind a door of ours: it has no operation for a package that is sent along. */
@RestController
public class PackageController {

  private final IPackageInstallerSvc installer;

  PackageController(IPackageInstallerSvc installer) {
    this.installer = installer;
  }

  @PostMapping("/packages")
  PackageInstallOutcomeJson install(
      @RequestParam("name") String name,
      @RequestParam("version") String version,
      @RequestParam("types") String types,
      @RequestBody byte[] contents) {
    var wanted = new PackageInstallationSpec().setName(name).setVersion(version).setPackageContents(contents);
    wanted.setInstallMode(InstallModeEnum.STORE_AND_INSTALL);
    wanted.setFetchDependencies(false);
    wanted.setInstallResourceTypes(Arrays.asList(types.split(",")));
    return installer.install(wanted);
  }
}
