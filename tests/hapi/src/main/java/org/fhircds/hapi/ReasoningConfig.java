package org.fhircds.hapi;

import ca.uhn.fhir.interceptor.model.RequestPartitionId;
import ca.uhn.fhir.jpa.api.dao.DaoRegistry;
import ca.uhn.fhir.jpa.cache.IResourceChangeListener;
import ca.uhn.fhir.jpa.cache.IResourceChangeListenerRegistry;
import ca.uhn.fhir.jpa.cache.ResourceChangeListenerRegistryInterceptor;
import ca.uhn.fhir.jpa.searchparam.SearchParameterMap;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.IResourceProviderFactoryObserver;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Supplier;
import org.cqframework.cql.cql2elm.model.CompiledLibrary;
import org.cqframework.cql.cql2elm.model.Model;
import org.hl7.cql.model.ModelIdentifier;
import org.hl7.elm.r1.VersionedIdentifier;
import org.opencds.cqf.cql.engine.runtime.Code;
import org.opencds.cqf.fhir.cql.EvaluationSettings;
import org.opencds.cqf.fhir.cql.engine.retrieve.RetrieveSettings;
import org.opencds.cqf.fhir.cql.engine.terminology.TerminologySettings;
import org.opencds.cqf.fhir.cr.hapi.common.CodeCacheResourceChangeListener;
import org.opencds.cqf.fhir.cr.hapi.common.ElmCacheResourceChangeListener;
import org.opencds.cqf.fhir.cr.hapi.config.r4.ApplyOperationConfig;
import org.opencds.cqf.fhir.cr.hapi.config.r4.CrR4Config;
import org.opencds.cqf.fhir.cr.hapi.config.r4.DataRequirementsOperationConfig;
import org.opencds.cqf.fhir.cr.hapi.config.r4.EvaluateOperationConfig;
import org.opencds.cqf.fhir.cr.hapi.config.r4.PackageOperationConfig;
import org.opencds.cqf.fhir.cr.measure.CareGapsProperties;
import org.opencds.cqf.fhir.cr.measure.MeasureEvaluationOptions;
import org.opencds.cqf.fhir.utility.client.TerminologyServerClientSettings;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;

/** The clinical reasoning side: $apply, $evaluate, $data-requirements, $package, with the module's own defaults. */
@Configuration
@Import({
  CrR4Config.class,
  ApplyOperationConfig.class,
  DataRequirementsOperationConfig.class,
  EvaluateOperationConfig.class,
  PackageOperationConfig.class
})
public class ReasoningConfig {

  @Bean
  RetrieveSettings retrieveSettings() {
    return new RetrieveSettings();
  }

  @Bean
  TerminologySettings terminologySettings() {
    return new TerminologySettings();
  }

  @Bean
  TerminologyServerClientSettings terminologyServerClientSettings() {
    return TerminologyServerClientSettings.getDefault();
  }

  @Bean
  Map<VersionedIdentifier, CompiledLibrary> globalLibraryCache() {
    return new ConcurrentHashMap<>();
  }

  @Bean
  Map<ModelIdentifier, Model> globalModelCache() {
    return new ConcurrentHashMap<>();
  }

  @Bean
  Map<String, List<Code>> globalValueSetCache() {
    return new ConcurrentHashMap<>();
  }

  @Bean
  EvaluationSettings evaluationSettings(
      RetrieveSettings retrieve,
      TerminologySettings terminology,
      Map<VersionedIdentifier, CompiledLibrary> libraries,
      Map<ModelIdentifier, Model> models,
      Map<String, List<Code>> valueSets) {
    var settings = EvaluationSettings.getDefault();
    settings.setLibraryCache(libraries);
    settings.setModelCache(models);
    settings.setValueSetCache(valueSets);
    settings.setRetrieveSettings(retrieve);
    settings.setTerminologySettings(terminology);
    return settings;
  }

  @Bean
  MeasureEvaluationOptions measureEvaluationOptions(EvaluationSettings settings) {
    var options = new MeasureEvaluationOptions();
    options.setEvaluationSettings(settings);
    return options;
  }

  @Bean(name = "measure.CareGapsProperties")
  CareGapsProperties careGapsProperties() {
    return new CareGapsProperties();
  }

  @Bean
  ExecutorService cqlExecutor() {
    return Executors.newFixedThreadPool(2);
  }

  @Bean
  ResourceChangeListenerRegistryInterceptor resourceChangeListenerRegistryInterceptor() {
    return new ResourceChangeListenerRegistryInterceptor();
  }

  /** Without this a library that was compiled once would be used for ever, whatever is published after. */
  @Bean
  ElmCacheResourceChangeListener libraryChanges(
      IResourceChangeListenerRegistry registry, DaoRegistry daos, EvaluationSettings settings) {
    return listening(registry, "Library", new ElmCacheResourceChangeListener(daos, settings.getLibraryCache()));
  }

  @Bean
  CodeCacheResourceChangeListener valueSetChanges(
      IResourceChangeListenerRegistry registry, DaoRegistry daos, EvaluationSettings settings) {
    return listening(registry, "ValueSet", new CodeCacheResourceChangeListener(daos, settings.getValueSetCache()));
  }

  private static <T extends IResourceChangeListener> T listening(
      IResourceChangeListenerRegistry registry, String type, T listener) {
    registry.registerResourceResourceChangeListener(
        type, RequestPartitionId.allPartitions(), SearchParameterMap.newSynchronous(), listener, 1000);
    return listener;
  }

  /** The module adds its operations after the server was built: pass them on. */
  @Bean
  Object lateProviders(RestfulServer server, ResourceProviderFactory factory) {
    factory.attach(
        new IResourceProviderFactoryObserver() {
          @Override
          public void update(Supplier<Object> supplier) {
            var provider = supplier == null ? null : supplier.get();
            if (provider != null) {
              server.registerProvider(provider);
            }
          }

          @Override
          public void remove(Supplier<Object> supplier) {
            var provider = supplier == null ? null : supplier.get();
            if (provider != null) {
              server.unregisterProvider(provider);
            }
          }
        });
    return new Object();
  }
}
