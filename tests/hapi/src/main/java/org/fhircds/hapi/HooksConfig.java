package org.fhircds.hapi;

import ca.uhn.hapi.fhir.cdshooks.api.CDSHooksVersion;
import ca.uhn.hapi.fhir.cdshooks.api.ICdsHooksDaoAuthorizationSvc;
import ca.uhn.hapi.fhir.cdshooks.api.ICdsServiceRegistry;
import ca.uhn.hapi.fhir.cdshooks.config.CdsHooksConfig;
import ca.uhn.hapi.fhir.cdshooks.controller.CdsHooksController;
import ca.uhn.hapi.fhir.cdshooks.svc.CdsHooksContextBooter;
import org.opencds.cqf.fhir.cr.hapi.cdshooks.CdsCrSettings;
import org.opencds.cqf.fhir.cr.hapi.config.CrCdsHooksConfig;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;

/** The CDS Hooks side: a service at /cds-services for each PlanDefinition that names a hook as its trigger. */
@Configuration
@Import({CdsHooksConfig.class, CrCdsHooksConfig.class})
public class HooksConfig {

  @Bean
  CdsHooksContextBooter cdsHooksContextBooter() {
    return new CdsHooksContextBooter();
  }

  @Bean
  CDSHooksVersion cdsHooksVersion() {
    return CDSHooksVersion.DEFAULT;
  }

  @Bean
  ICdsHooksDaoAuthorizationSvc cdsHooksDaoAuthorizationSvc() {
    return resource -> {};
  }

  @Bean
  CdsCrSettings cdsCrSettings() {
    return CdsCrSettings.getDefault();
  }

  @Bean
  CdsHooksController cdsHooksController(ICdsServiceRegistry services) {
    return new CdsHooksController(services);
  }
}
